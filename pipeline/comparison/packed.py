"""A finished run in the form that is served, of whatever kind: a network, trees, or a model made of other runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from features.errors import InputError
from pipeline.runs.plan import BOOSTING, BUNDLE, ENSEMBLE
from pipeline.runs.run import MEMBERS, TREES, WEIGHTS, Run, load_run
from pipeline.serving.kinds.base import Packed
from pipeline.serving.kinds.boosting import BoostingContent
from pipeline.serving.kinds.bundle import BundleContent
from pipeline.serving.kinds.ensemble import EnsembleContent
from pipeline.serving.kinds.network import NetworkContent

Array = npt.NDArray[np.float64]


def packed_run(run: Run) -> Packed:
    """What a run's served model consists of.

    Raises:
        InputError: If a run that it is made of is missing or damaged.
    """
    if run.members:
        weight_TM = load_file(run.folder / MEMBERS)["weight_TM"]
        return packed_together(run.method, run.tasks, members_of(run), weight_TM)
    if (run.folder / TREES).exists():
        (task,) = run.tasks
        return BoostingContent.packed({task: run.folder / TREES})
    epochs = sorted({*run.snapshots.values()}) or [run.best_epoch]
    networks = [_network(run, epoch) for epoch in epochs]
    if len(networks) == 1:
        return networks[0]
    of_epochs = [[float(run.snapshots[task] == epoch) for epoch in epochs] for task in run.tasks]
    return EnsembleContent.packed(run.tasks, networks, of_epochs)


def _network(run: Run, epoch: int) -> Packed:
    """A run's network after one of the epochs that it has kept."""
    return NetworkContent.packed(
        weights=run.weights_of(epoch), tasks=run.tasks, architecture=run.architecture, calibrators=run.calibrators
    )


def members_of(run: Run) -> list[Run]:
    """The runs that a run is made of.

    Raises:
        InputError: If one is missing or damaged.
    """
    return [_member(run.folder.with_name(name)) for name in run.members]


def _member(folder: Path) -> Run:
    found = load_run(folder, TREES if (folder / TREES).exists() else WEIGHTS)
    if found is None:
        raise InputError(f"the run {folder} is missing, of which a model is made; run the comparison or search again")
    return found


def packed_together(system: str, tasks: Sequence[str], members: Sequence[Run], weight_TM: Array) -> Packed:
    """What a served model of several runs consists of.

    Args:
        system: The name of the system, which says how the members give one model.
        tasks: Its tasks.
        members: The runs.
        weight_TM: For each task the weight of each member; only an ensemble has other weights than 1 and 0.
    """
    return _MADE_OF[system](tasks, [packed_run(member) for member in members], weight_TM)


def _bundle(tasks: Sequence[str], members: Sequence[Packed], weight_TM: Array) -> Packed:
    del tasks, weight_TM
    return BundleContent.packed(members)


def _boosting(tasks: Sequence[str], members: Sequence[Packed], weight_TM: Array) -> Packed:
    del weight_TM
    files = [path for member in members for path in member.files.values()]
    return BoostingContent.packed(dict(zip(tasks, files, strict=True)))


def _ensemble(tasks: Sequence[str], members: Sequence[Packed], weight_TM: Array) -> Packed:
    return EnsembleContent.packed(tasks, members, weight_TM.tolist())


_MADE_OF: dict[str, Callable[[Sequence[str], Sequence[Packed], Array], Packed]] = {
    BUNDLE.name: _bundle,
    BOOSTING.name: _boosting,
    ENSEMBLE.name: _ensemble,
}

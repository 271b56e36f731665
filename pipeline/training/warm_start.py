"""Starts a run from the weights of an earlier run, on data that has grown from the earlier run's."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from features.errors import InputError
from gradops.group import Alone, Group
from models.architectures.base import Architecture
from models.embedding.portable import PortableEmbedding
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import CONFIG, WEIGHTS, architecture_of, run_folder, tables_of


def warm_start(model: Architecture, config: RunConfig, prepared: Prepared, group: Group = Alone()) -> None:
    """Give a new model the weights of the run that ``train.start_from`` names.

    Ids mean the same in both, since the data has grown from the earlier run's. Rows of values that vocabularies
    have since gained start as the seed draws them. Optimizers start anew: a finished run keeps none of their state.

    Args:
        model: The new model, initialised.
        config: The new run's config.
        prepared: The new run's data.
        group: The ranks that train it.

    Raises:
        InputError: If the run is missing, its data is no ancestor of the new data, its network differs, or ranks share
            the tables.
    """
    if group.size > 1:
        raise InputError("`train.start_from` is for one process: leave it out, or train without torchrun")
    folder = config.runs / config.train.start_from
    if not (folder / WEIGHTS).exists():
        raise InputError(f"there are no weights in {folder}: give `train.start_from` the fingerprint of a finished run")
    if not descends(prepared, folder):
        fix = "prepare it with `data.grow = true`, or start from the seed"
        raise InputError(f"{folder} was trained on data that {prepared.folder} has not grown from: {fix}")
    model.load_plain_state(load_file(folder / WEIGHTS))


def can_start(config: RunConfig, prepared: Prepared, run: str) -> bool:
    """Whether the weights of a finished run exist and fit a config on prepared data."""
    folder = config.runs / run
    if not (folder / WEIGHTS).exists() or not descends(prepared, folder) or _config(folder).tasks != config.tasks:
        return False
    encoder = prepared.encoder()
    with torch.device("meta"):  # only shapes are compared
        embedding, values = PortableEmbedding(tables_of(config, encoder)), len(encoder.spec.value_features)
        encoded = encoder.encoded_values()
        model = architecture_of(config).build(embedding, values=values, tasks=config.tasks, encoded=encoded)
    with safe_open(folder / WEIGHTS, framework="pt") as saved:
        shapes = {name: saved.get_slice(name).get_shape() for name in saved.keys()}  # noqa: SIM118  # no mapping
    # A table's width may grow with its vocabulary.
    return not model.misfits(shapes)


def descends(prepared: Prepared, folder: Path) -> bool:
    """Whether the run in a folder was trained on this data, or on data that it has grown from."""
    trained = _config(folder)
    data = (Prepared(prepared.folder.with_name(fingerprint), {}) for fingerprint in prepared.lineage())
    return any(run_folder(trained, one).name == folder.name for one in data)


def _config(folder: Path) -> RunConfig:
    return RunConfig.model_validate_json((folder / CONFIG).read_text())

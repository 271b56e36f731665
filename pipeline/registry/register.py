"""The registration of trained runs as versions of a model, with aliases that point at the best of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import mean

import mlflow

from pipeline.comparison.candidates import Candidate, Single, TradeOffs, by_alias, pareto_optimal
from pipeline.comparison.comparison import Comparison
from pipeline.comparison.serving_cost import SERVING, ServingCost
from pipeline.comparison.table import comparison_file, save_comparison
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.card import write_cards
from pipeline.registry.gate import Decision
from pipeline.registry.model import CHAMPION, DATA, FILES_REMOVED, MODEL, SPLIT, VAL_AUC, RegisteredModel
from pipeline.registry.packaging import log_model
from pipeline.registry.promotion import promote_first
from pipeline.runs.plan import CANDIDATES, PlannedRun
from pipeline.runs.run import Run
from pipeline.runtime.signals import uninterrupted
from pipeline.tracking.tags import FINGERPRINT
from pipeline.tracking.tracker import Tracker


@dataclass(frozen=True)
class Registered:
    """The models of a comparison or a search in the registry.

    Args:
        model: The registered model's name.
        aliases: Alias to version; empty if there was no candidate, without ``champion`` if no version serves.
        first: The gate's decision on ``balanced``; None if a version served already.
        costs: System of each version to what it costs to serve; without versions of before costs were measured.
        versions: System of each version to its number.
    """

    model: str
    aliases: Mapping[str, int]
    first: Decision | None = None
    costs: Mapping[str, ServingCost] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def verdicts(self) -> list[str]:
        """A sentence for people if there is no champion, else none."""
        if self.first is None or self.first.passed:
            return []
        number = self.first.candidate
        return [f"no champion: version {number} (`balanced`) does not pass the gate: {self.first.why}"]


@uninterrupted()
def register(tradeoffs: TradeOffs, tracker: Tracker, *, only_best: bool = False) -> Registered:
    """Register the Pareto-optimal trade-offs of a comparison or a search, and point the aliases at them.

    Every choice is by validation AUC, never by test AUC. ``balanced`` has the lowest Δm%, ``best-<task>`` the highest
    AUC of a task. If there is no ``champion``, the model in service, it becomes ``balanced``, provided that this passes
    the gate; after that, only a promotion or a rollback moves it.

    Args:
        tradeoffs: The comparison or search; its config's name is the registered model's.
        tracker: The tracker that recorded its runs.
        only_best: Whether only the models with an alias become versions: the Pareto front of a search can have dozens
            of models. All of them are logged.
    """
    name, client = tradeoffs.config.name, tracker.client
    kept = pareto_optimal(tradeoffs)
    if not kept:
        return Registered(name, {})
    chosen = by_alias(kept, tradeoffs.config.tasks)
    for one in kept if only_best else ():
        _model_of(one.run, tradeoffs, tracker)
    wanted = chosen.values() if only_best else kept
    versions = {one.system: _version_of(one, tradeoffs, tracker) for one in wanted}
    aliases = {alias: versions[one.system] for alias, one in chosen.items()}
    for alias, number in aliases.items():
        client.set_registered_model_alias(name, alias, str(number))
    first = promote_first(tradeoffs.config, tradeoffs.prepared, aliases["balanced"])
    serving = {alias: number for alias, number in RegisteredModel(name).aliases.items() if alias == CHAMPION}
    costs = {system: cost for system, number in versions.items() if (cost := _cost(tracker, name, number))}
    return Registered(name, serving | aliases, first, costs, versions)


def register_comparison(comparison: Comparison, tracker: Tracker, verdicts: Sequence[str] = ()) -> Registered:
    """Register a comparison's models, and record the comparison in MLflow and on disk.

    Args:
        comparison: A saved comparison.
        tracker: The tracker that recorded its runs.
        verdicts: Sentences that readers of the comparison should know; those of the registry are added.
    """
    registered = register(comparison, tracker)
    sentences = [*verdicts, *registered.verdicts]
    save_comparison(comparison, sentences, registered.costs)
    write_cards(registered.model, registered.versions, comparison_file(comparison, sentences, registered.costs))
    tracker.compared(comparison, sentences)
    return registered


@uninterrupted()
def register_run(config: RunConfig, prepared: Prepared, run: Run, tracker: Tracker) -> int:
    """Register one run, unless it is registered already; aliases stay as they are.

    Args:
        config: The config; its name is the registered model's.
        prepared: The data that the run was trained on.
        run: A finished run.
        tracker: The tracker that recorded it.

    Returns:
        The version that serves it.
    """
    single = Single(config, prepared, run)
    (candidate,) = single.candidates()
    return _version_of(candidate, single, tracker)


def _version_of(candidate: Candidate, tradeoffs: TradeOffs, tracker: Tracker) -> int:
    """The version that serves a candidate's run, registered now if it is not yet."""
    name, client, run = tradeoffs.config.name, tracker.client, candidate.run
    known = client.search_model_versions(f"name = '{name}' and tags.`{FINGERPRINT}` = '{run.fingerprint}'")
    for found in known:
        # A version whose files were deleted cannot serve.
        if FILES_REMOVED not in found.tags and mlflow.artifacts.list_artifacts(artifact_uri=found.source):
            for key, value in _drop(candidate).items():  # against other single-task models than before, perhaps
                client.set_model_version_tag(name, found.version, key, value)
            return int(found.version)
    tags = {FINGERPRINT: run.fingerprint, "method": candidate.system, DATA: tradeoffs.prepared.fingerprint}
    tags[SPLIT] = json.dumps(tradeoffs.prepared.split)
    # Six digits are enough for a choice among versions to equal the choice among the runs themselves.
    tags |= {f"{VAL_AUC}{task}": f"{run.val[task]['auc']:.6f}" for task in run.tasks}
    selection = tradeoffs.config.train.selection
    tags |= {"selected_by": selection.text, "val.selected": f"{selection.value(run.val):.6f}"}
    tags |= _drop(candidate)
    model = _model_of(run, tradeoffs, tracker)
    tags |= {tag: value for tag, value in _model_tags(tracker, model).items() if tag.startswith(SERVING)}
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    words = f"{candidate.system}, seed {run.seed}: {_words(run)}"
    uri, run_id = f"models:/{model}", _run_id(run, tradeoffs, tracker)
    made = client.create_model_version(name, uri, run_id, tags=tags, description=words, model_id=model)
    return int(made.version)


def _cost(tracker: Tracker, name: str, number: int) -> ServingCost | None:
    return ServingCost.of(tracker.client.get_model_version(name, str(number)).tags)


def _model_tags(tracker: Tracker, model: str) -> Mapping[str, str]:
    return dict(tracker.client.get_logged_model(model).tags)


def _drop(candidate: Candidate) -> dict[str, str]:
    """The tag of a candidate's Δm%, which is of the latest comparison or search."""
    drop = candidate.delta_m_pct
    return {} if isnan(drop) else {"val.delta_m_pct_drop": f"{drop:.3f}"}


def _words(run: Run) -> str:
    aucs = ", ".join(f"{task} {metrics['auc']:.4f}" for task, metrics in run.test.items())
    return f"test AUC {aucs}, mean {mean(m['auc'] for m in run.test.values()):.4f}"


def _run_id(run: Run, tradeoffs: TradeOffs, tracker: Tracker) -> str:
    """The MLflow run of a run; one that is made of other runs is recorded now, if it is not yet."""
    if run.members and not tracker.run_ids([run.fingerprint]):
        tracker.on_run_end(PlannedRun(CANDIDATES[run.method], tradeoffs.config), run, reused=True)
    return tracker.run_id(run)


def _model_of(run: Run, tradeoffs: TradeOffs, tracker: Tracker) -> str:
    """The logged model of a run, logged to its MLflow run now if it is not yet."""
    run_id = _run_id(run, tradeoffs, tracker)
    known = tracker.client.get_run(run_id).data.tags.get(MODEL)
    if known and mlflow.artifacts.list_artifacts(artifact_uri=f"models:/{known}"):
        return str(known)
    logged = log_model(run, tradeoffs.prepared, run_id)
    tracker.model_logged(run, logged)
    tracker.client.set_tag(run_id, MODEL, logged)
    return logged

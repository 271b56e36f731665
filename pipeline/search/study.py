"""A study that any number of processes work on: each point is finished once, even if workers are killed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from features.errors import InputError
from pipeline.comparison.point import Point
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.files.atomic import fingerprint
from pipeline.runs.run import depends_on, differences
from pipeline.runtime.signals import uninterrupted
from pipeline.search.attributes import DEPENDS_ON, ENDED, PLACE, POINT, SPENT
from pipeline.search.choice import SearchSpace
from pipeline.search.journal import study_of
from pipeline.search.near_best import NearBestSampler
from pipeline.search.preset_space import PresetSpace
from pipeline.search.space import Space
from pipeline.search.storage import give_back, open_storage, quiet
from pipeline.training.runner import concurrency

_GENERATION = 20  # points of one generation of NSGA-II
_AHEAD = 8  # trials that wait under a preset, beside one for each worker of a command
# Keys that may differ when a study is joined: they set the number of points, the storage and the workers.
_FREE = {"trials", "study", "storage", "heartbeat", "workers", "budget"}


class Study:
    """The study of a config's search: its finished points, and the trials that wait for a worker.

    Every point has a place from the beginning: a trial that waits. A worker takes a waiting trial, chooses, trains and
    finishes it. A trial whose worker was killed waits again, and keeps its choice.

    Args:
        config: The config, with its section ``[search]``.
        prepared: The data.

    Raises:
        InputError: If the study belongs to another config. The message lists every difference.
    """

    def __init__(self, config: RunConfig, prepared: Prepared) -> None:
        self.space = _space(config, prepared)
        self._search, self._name = config.search, study_of(config)
        self._tasks, self._selection = config.tasks, config.train.selection
        self._prescribed = self.space.prescribed()
        self._ahead = _AHEAD + concurrency(config.search.workers, config.search.trials)
        depends = _decides(config, prepared, self.space)
        self.fingerprint = fingerprint([self._name, depends])
        self._storage, self._watch = open_storage(config)
        optuna.create_study(
            study_name=self._name, storage=self._storage, directions=self._directions, load_if_exists=True
        )
        study = self._study()
        known = study.user_attrs.get(DEPENDS_ON)
        if known is None:
            study.set_user_attr(DEPENDS_ON, depends)
        elif differing := differences(known, depends):
            fix = "name a new study by `search.study`"
            raise InputError.of(f"the study `{self._name}` exists with other values; {fix}", differing)

    @uninterrupted()
    def fill(self) -> None:
        """Make a trial for every place without one: at the start, after `trials` was raised, and for lost trials."""
        study, kept = self._study(), self._by_place()
        choices: dict[int, dict[str, Any]] = {}
        for trial in study.get_trials(deepcopy=False):
            choices[trial.user_attrs[PLACE]] = trial.params
        for place, prescribed in enumerate(self._prescribed[: self._horizon(kept)]):
            if place not in kept:
                study.enqueue_trial(choices.get(place) or prescribed, user_attrs={PLACE: place})

    def give_back_lost(self) -> None:
        """Let the trials wait again whose workers were killed."""
        self._watch.give_back_lost(self._study())

    def _horizon(self, kept: Mapping[int, FrozenTrial]) -> int:
        """Number of places that have a trial. Under a preset few are ahead of those begun: most budgets end before."""
        if not self._search.preset:
            return len(self._prescribed)
        return sum(trial.state != TrialState.WAITING for trial in kept.values()) + self._ahead

    @contextmanager
    def take(self) -> Iterator[Trial | None]:
        """A trial for this process alone; None if no trial waits. A trial unfinished at the end waits again."""
        study = self._study()
        self.give_back_lost()
        self.fill()
        for waiting in self._waiting():
            with self._watch.hold(waiting) as is_held:
                if is_held and self._claimed(study, waiting):
                    try:
                        yield self._trial(waiting)
                    finally:
                        give_back(study, waiting)
                    return
        yield None

    def place_of(self, trial: Trial) -> int:
        """The trial's place in the study, counted from 0."""
        return int(trial.user_attrs[PLACE])

    @uninterrupted()
    def finish(self, trial: Trial, point: Point, values: Sequence[float], shortfalls: Mapping[str, float]) -> None:
        """Store a point; if another worker has finished the trial meanwhile, that worker's result counts.

        Args:
            trial: The trial.
            point: Its point.
            values: Its objectives; empty if the point is not complete.
            shortfalls: Task to the validation AUC that the point lacks.
        """
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        try:
            with quiet(), warnings.catch_warnings():
                # A trial whose worker was killed between this line and the end has the same constraints already.
                warnings.filterwarnings("ignore", ".*already set", UserWarning)
                for task, shortfall in shortfalls.items():
                    trial.set_constraint(task, shortfall)
            trial.set_user_attr(POINT, json.loads(json.dumps(vars(point))))
            trial.study.tell(trial, list(values) or None, state=states[point.state])
        except (UpdateFinishedTrialError, ValueError):
            if not self._storage.get_trial(trial._trial_id).state.is_finished():
                raise

    def points(self) -> list[Point]:
        """The finished points, in order of their places."""
        finished = {p: t for p, t in self._by_place().items() if t.state.is_finished()}
        return [Point(**finished[place].user_attrs[POINT]) for place in sorted(finished)]

    def is_over(self) -> bool:
        """Whether every place has its point."""
        finished = {p for p, t in self._by_place().items() if t.state.is_finished()}
        return finished >= set(range(len(self._prescribed)))

    @property
    def places(self) -> int:
        """Number of points that the config asks for."""
        return len(self._prescribed)

    def running(self) -> set[int]:
        """The numbers of the running trials."""
        return {t.number for t in self._study().get_trials(deepcopy=False, states=(TrialState.RUNNING,))}

    def chosen_now(self) -> dict[int, Mapping[str, float | str]]:
        """What each running trial has chosen so far, by its number, for people."""
        running = self._study().get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return {trial.number: self.space.shown(trial.params) for trial in running}

    def next_choices(self) -> list[Mapping[str, float | str]]:
        """What is prescribed for places without a point and without a worker, in their order, for people."""
        begun = {p for p, trial in self._by_place().items() if trial.state != TrialState.WAITING}
        waiting = [fixed for place, fixed in enumerate(self._prescribed) if fixed and place not in begun]
        return [self.space.shown(fixed) for fixed in waiting]

    @property
    def spent(self) -> float:
        """Seconds that commands have worked on the study, each for itself."""
        attributes = self._study().user_attrs
        return sum(float(value) for key, value in attributes.items() if key.startswith(SPENT))

    @uninterrupted()
    def spend(self, command: str, seconds: float) -> None:
        """Note the seconds that a command has worked on the study up to now."""
        self._study().set_user_attr(f"{SPENT}{command}", round(seconds, 1))

    @uninterrupted()
    def end(self, *, ended: bool) -> None:
        """Note whether the study has ended at its budget, so that nothing waits for its trials."""
        study = self._study()
        if study.user_attrs.get(ENDED, False) != ended:
            study.set_user_attr(ENDED, ended)

    def _study(self, sampler: BaseSampler | None = None) -> optuna.Study:
        """The study as it is now; an Optuna object of earlier may hold an outdated list of trials."""
        return optuna.load_study(study_name=self._name, storage=self._storage, sampler=sampler)

    def _by_place(self) -> dict[int, FrozenTrial]:
        """The trial of each place: the first that was not lost."""
        kept: dict[int, FrozenTrial] = {}
        for trial in self._study().get_trials(deepcopy=False):
            if trial.state != TrialState.FAIL or POINT in trial.user_attrs:
                kept.setdefault(trial.user_attrs[PLACE], trial)
        return kept

    def _trial(self, claimed: FrozenTrial) -> Trial:
        with quiet():
            study = self._study(self._sampler(claimed.user_attrs[PLACE]))
            study.get_trials(deepcopy=False)  # Optuna's cache of a database writes only to trials that it has read
            return Trial(study, claimed._trial_id)

    def _waiting(self) -> list[FrozenTrial]:
        waiting = self._study().get_trials(deepcopy=False, states=(TrialState.WAITING,))
        wanted = [trial for trial in waiting if trial.user_attrs[PLACE] < len(self._prescribed)]
        return sorted(wanted, key=lambda trial: trial.user_attrs[PLACE])

    @uninterrupted()
    def _claimed(self, study: optuna.Study, waiting: FrozenTrial) -> bool:
        """Try to take a waiting trial, which the storage gives to one process only, and return whether it succeeded."""
        try:
            if not self._storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        if self._by_place()[waiting.user_attrs[PLACE]].number != waiting.number:
            # Two processes have filled the same place at the same time.
            study.tell(waiting.number, state=TrialState.FAIL)
            return False
        return True

    def _sampler(self, place: int) -> BaseSampler:
        """The sampler of one place; its choice depends only on the finished points, not on process or time."""
        seed = int(fingerprint([self._search.sampler_seed, place])[:8], 16)
        if isinstance(self.space, PresetSpace):
            return NearBestSampler(seed, self.space.usual)
        match self._search.sampler:
            case "nsga2":
                return NSGAIISampler(population_size=_GENERATION, seed=seed)
            case "gp":
                return GPSampler(seed=seed)
            case _:  # a grid prescribes every choice
                return TPESampler(seed=seed, multivariate=True, group=True)

    @property
    def _directions(self) -> list[StudyDirection]:
        if self._search.objective == "auc":
            return [StudyDirection.MAXIMIZE for _ in self._tasks]
        falls = not self._selection.is_rising if self._search.objective == "selected" else False
        is_low_best = falls or self._search.objective == "delta_m_pct"
        return [StudyDirection.MINIMIZE if is_low_best else StudyDirection.MAXIMIZE]


def _space(config: RunConfig, prepared: Prepared) -> SearchSpace:
    if not config.search.preset:
        return Space(config)
    return PresetSpace(config, prepared.encoder().tables(), prepared.rows["train"])


def _decides(config: RunConfig, prepared: Prepared, space: SearchSpace) -> dict[str, Any]:
    """All values that decide which points a study has, by key."""
    parts: dict[str, Any] = depends_on(config, prepared) | {"name": config.name, "tasks": list(config.tasks)}
    del parts["train"]["method"]
    search = config.search.model_dump(mode="json", exclude=_FREE)
    flat = dict(_flat({**parts, "search": search, "space": space.identity}))
    canonical: dict[str, Any] = json.loads(json.dumps(flat))
    return canonical


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""The choice between an ensemble and the best of many, where nobody is better than anybody, and where one is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.comparison import safer
from pipeline.comparison.candidates import Candidate
from pipeline.comparison.greedy_ensemble import cross_fitted_auc, select
from pipeline.comparison.safer import CrossFitted, cross_fitted
from pipeline.runs.run import Run

ROWS = 2000


@dataclass(frozen=True)
class Rows:
    """Validation rows of one task."""

    label_N: np.ndarray

    def __len__(self) -> int:
        return len(self.label_N)

    def labels(self, tasks: list[str]) -> np.ndarray:
        return self.label_N[:, None]


def candidates(label_N: np.ndarray, score_MN: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """Networks with these scores, and their ensemble."""
    weights = select(label_N, score_MN, 20)
    held = {str(m): score_N[:, None] for m, score_N in enumerate(score_MN)} | {"e": (weights @ score_MN)[:, None]}
    monkeypatch.setattr(safer, "scores_of", lambda run, _: held[run.folder.name])

    def candidate(name: str, system: str, auc: float) -> Candidate:
        return Candidate(system, Run(Path(name), ["buy"], system, 0, 0, {}, {}, []), {"buy": auc}, 0.0)

    networks = [candidate(str(m), f"uniform, x={m}", 0.5) for m in range(len(score_MN))]
    return [*networks, candidate("e", "ensemble", cross_fitted_auc(label_N, score_MN, 20))]


def data() -> tuple[np.ndarray, np.ndarray]:
    """Thirty equally good models with errors of their own."""
    generator = np.random.default_rng(0)
    label_N = (generator.random(ROWS) < 0.1).astype(np.float64)
    return label_N, 0.5 * label_N + generator.normal(size=(30, ROWS))


def test_the_mean_is_taken_where_models_are_equally_good(monkeypatch: pytest.MonkeyPatch) -> None:
    label_N, score_MN = data()
    found = cross_fitted(candidates(label_N, score_MN, monkeypatch), Rows(label_N), ["buy"])  # type: ignore[arg-type]
    assert found is not None
    assert found.is_ensemble_taken
    assert found.ensemble > found.single + 0.1


def test_a_single_candidate_is_taken_where_it_is_better_beyond_noise() -> None:
    assert not CrossFitted(single=0.80, ensemble=0.70, noise=0.05).is_ensemble_taken
    assert CrossFitted(single=0.74, ensemble=0.70, noise=0.05).is_ensemble_taken


def test_the_single_one_is_judged_on_rows_that_did_not_choose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that each know one half by heart are worth nothing on the other."""
    label_N = np.tile([0.0, 1.0], ROWS // 2)
    noise_N = np.random.default_rng(0).random(ROWS)
    first = np.arange(ROWS) < ROWS // 2
    score_MN = np.stack([np.where(first, label_N, noise_N), np.where(first, noise_N, label_N)])
    found = cross_fitted(candidates(label_N, score_MN, monkeypatch), Rows(label_N), ["buy"])  # type: ignore[arg-type]
    assert found is not None
    assert found.single == pytest.approx(0.5, abs=0.05)


def test_without_an_ensemble_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    label_N, score_MN = data()
    networks = candidates(label_N, score_MN, monkeypatch)[:-1]
    assert cross_fitted(networks, Rows(label_N), ["buy"]) is None  # type: ignore[arg-type]

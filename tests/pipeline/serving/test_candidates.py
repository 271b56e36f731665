"""One user's candidates are scored as their rows are, though the shared columns are multiplied once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from models.architectures import ARCHITECTURES
from pipeline.evaluation.calibration import Platt
from pipeline.serving.candidates import _KEPT, FEWEST, CandidateNetwork
from pipeline.serving.columns import RequestRows
from pipeline.serving.counted import Counted
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.drawn import EXAMPLES, TASKS, network, scorer_of
from tests.pipeline.serving.test_encoding import made

ROWS = FEWEST + 3
OWN: dict[str, list[Any]] = {
    "city": ["Lima", "11", None, "unheard of"],
    "user": ["user 3", "x", None, "user 3"],
    "tags": [["red", "new"], [], None, ["old"]],
    "strength": [[1.0, 0.5], [], None, [2.0]],
    "at": ["2026-01-31T18:30:00", None, "2026-01-05", "2026-01-31 18:30:00"],
    "joined": ["2025-06-01T00:00:00"] * 4,
    "price": [12.5, None, 3, 0.1],
}
SPLIT = [name for name, config in EXAMPLES.items() if config.interaction is None and config.ensemble == 1]
SHARED = [("city", "user", "at", "joined"), ("tags", "strength"), ("price",), ("at", "joined", "price")]


def rows(shared: tuple[str, ...], first: int = 0) -> RequestRows:
    """Candidates: the first value of a shared column, the others' values again and again."""
    return RequestRows({n: v[first : first + 1] if n in shared else (v * ROWS)[:ROWS] for n, v in OWN.items()}, ROWS)


def split_and_whole(scorer: Scorer, asked: RequestRows) -> tuple[Any, Any]:
    of = scorer.predictor.for_candidates(scorer.encoder.spec)
    encoded = scorer.rows.of_request(asked)
    assert encoded is not None
    return None if of is None else of(encoded), scorer.probability_NO(scorer.window(asked))


@pytest.mark.parametrize("name", SPLIT)
def test_a_split_is_exact_to_rounding(name: str) -> None:
    encoder = made()
    scorer = scorer_of(encoder, network(encoder, EXAMPLES[name]), TASKS)
    for shared in SHARED:
        found, expected = split_and_whole(scorer, rows(shared))
        if EXAMPLES[name].kind in ("finalmlp", "stem") or name == "conditional":
            assert found is None
            return
        # Probabilities in float32, whose sums of products are formed in another order.
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)


def test_every_other_architecture_splits() -> None:
    encoder = made()
    split = {kind for kind in ARCHITECTURES if CandidateNetwork.can_split(network(encoder, EXAMPLES[kind]).model)}
    assert {*ARCHITECTURES} - split == {"finalmlp", "stem"}
    for name in ("shared_bottom over DCNv2Config", "shared_bottom of members"):
        assert not CandidateNetwork.can_split(network(encoder, EXAMPLES[name]).model)


def test_a_requests_answer_and_counts_are_those_of_its_rows() -> None:
    encoder = made()
    calibrators = [Platt(slope=1.5, intercept=-0.2)] * len(TASKS)
    scorer = scorer_of(encoder, network(encoder, EXAMPLES["mmoe"], calibrators), TASKS)
    for first in range(4):
        asked = rows(("city", "user", "tags", "strength"), first)
        scored, window = scorer.request(asked), scorer.window(asked)
        np.testing.assert_allclose(scored.probability_NO, scorer.probability_NO(window), rtol=0, atol=5e-7)
        assert scored.counted == Counted.of_window(window)
    few = RequestRows({name: values[:2] for name, values in OWN.items()} | {"city": ["Lima"]}, 2)
    np.testing.assert_array_equal(scorer.request(few).probability_NO, scorer.probability_NO(scorer.window(few)))


def test_threads_and_many_choices_of_columns_do_not_mix() -> None:
    encoder = made()
    scorer = scorer_of(encoder, network(encoder, EXAMPLES["shared_bottom"]), TASKS)
    # Weights are shared with the list that they weigh.
    alone = [name for name in OWN if name not in ("tags", "strength")]
    choices = [*combinations(alone, 1), *combinations(alone, 2), *((name, "tags", "strength") for name in alone)]
    assert len({*choices}) > _KEPT
    asked = [rows(choice, number % 4) for number, choice in enumerate(choices)]
    expected = [scorer.probability_NO(scorer.window(one)) for one in asked]
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda one: scorer.request(one).probability_NO, asked * 2)]
    for one, other in zip(found, expected * 2, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-7)

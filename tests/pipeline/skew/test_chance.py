"""The difference that chance makes, against many drawn samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.data.distributions import IdDistribution, NumberDistribution, stability_index
from pipeline.skew.chance import index_by_chance, shift_by_chance

SHARES = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05])
TRAINING = 5000


def drawn(generator: np.random.Generator, requests: int, candidates: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Groups of rows; those of a request mostly agree, as a user's candidates do in what the user has."""
    common = generator.choice(7, (requests, 1), p=SHARES)
    own = generator.choice(7, (requests, candidates), p=SHARES)
    return np.where(generator.random((requests, candidates)) < 0.7, common, own).ravel()


@pytest.mark.parametrize(("requests", "candidates"), [(400, 1), (60, 40)])
def test_one_sample_of_a_hundred_is_further_away(requests: int, candidates: int) -> None:
    generator, above, naive, limits = np.random.default_rng(1), 0, 0, []
    number = np.repeat(np.arange(requests), candidates)
    samples = 500
    for _ in range(samples):
        training = np.bincount(generator.choice(7, TRAINING, p=SHARES), minlength=7)
        groups = drawn(generator, requests, candidates)
        psi = stability_index(np.bincount(groups, minlength=7), training)
        limit = index_by_chance(groups, number, training, TRAINING)
        limits.append(limit)
        above += psi > limit
        # Rows taken for independent: twice the mean of the index is about the same quantile.
        naive += psi > 2.5 * 6 * (1 / len(groups) + 1 / TRAINING)
    # 1 % is meant; the approximation for few requests and rare groups is allowed to double it.
    assert above / samples < 0.02
    assert above > 0, "the level is not far too high either"
    if candidates > 1:
        assert naive / samples > 0.5, "rows of a request are no independent draws"


def test_independent_rows_have_the_known_mean() -> None:
    """(groups - 1) (1/n + 1/m) times the chi-square's quantile over its degrees of freedom: 2.8 for six."""
    generator = np.random.default_rng(2)
    training = (SHARES * 100_000).astype(np.int64)
    groups = generator.choice(7, 2000, p=SHARES)
    found = index_by_chance(groups, np.arange(2000), training, 100_000)
    assert found == pytest.approx(6 * (1 / 2000 + 1 / 100_000) * 16.81 / 6, rel=0.05)


def test_few_requests_tell_nothing() -> None:
    groups, training = np.zeros(1000, np.int64), np.array([5, 5])
    assert index_by_chance(groups, np.arange(1000) % 19, training, 10) == math.inf
    assert shift_by_chance(groups, np.arange(1000) % 19, 1.0, 10) == math.inf


def test_a_shift_by_chance_counts_requests() -> None:
    generator = np.random.default_rng(3)
    users = np.repeat(generator.normal(size=100), 50)
    found = shift_by_chance(users, np.repeat(np.arange(100), 50), 1.0, 10**9)
    assert found == pytest.approx(2.576 / 10, rel=0.2), "a hundred users, not five thousand rows"


def test_numbers_have_a_group_for_zero_and_ten_for_the_others() -> None:
    generator = np.random.default_rng(4)
    numbers = generator.normal(size=10_000).astype(np.float32)
    numbers[:1000] = 0
    found = NumberDistribution.of(numbers, numbers)
    assert found.count_G[0] == 1000
    assert abs(found.count_G[1:] - 900).max() <= 1
    constant = NumberDistribution.of(np.full(5, 3.0), np.full(5, 3.0))
    assert (constant.edges, constant.counted) == ((), (0, 5))


def test_ids_that_training_did_not_have_are_in_the_last_group() -> None:
    found = IdDistribution(np.array([0, 1, 2, 50, 30, 0, 20]))
    assert found.groups(np.array([1, 2, 3, 4, 5, 6, 7, 10**6])).tolist() == [10, 11, 0, 5, 9, 8, 9, 9]
    assert found.count_G.tolist() == [50, 0, 0, 0, 0, 30, 0, 0, 20, 0, 1, 2]

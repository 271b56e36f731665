"""The true probability of each label of a generated click log, by a logistic model of the log's columns.

The log-odds of a task are a sum of terms: one value for each level of a column or each pair of levels of two columns, a
curve over the quantiles of a number, the (weighted) mean of a list's tags, and a small part of each user's and item's
own that fades with rank. So most of the signal is in groups that millions of rows cover, and an id is worth learning
where it is frequent. A term's values are standard normals, mixed for the tasks by :func:`mixing`. The sum is
scaled to the spread of :data:`SPREAD`, which sets the best reachable AUC, near ``Phi(spread / sqrt(2))``, and shifted
until the mean probability is that of :data:`RATES`; both are computed on a fixed sample of a week. Given the features,
the three labels are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from pipeline.sources.clickcolumns import BITS, CLICK_COLUMNS, DEPARTMENTS, NORMAL, Amount, Array, Levels, Tags
from pipeline.sources.clickworld import Clicks, World

TASKS = ("purchase", "cart", "wish")
RATES = (0.015, 0.05, 0.03)
SPREAD = (1.25, 1.1, 1.15)
_BY_NAME = {column.name: column for column in CLICK_COLUMNS}
_SAMPLE_ROWS, _SAMPLE_WEEK = 10_000, date(2026, 1, 5)


@dataclass(frozen=True)
class Term:
    """A part of the log-odds.

    Args:
        columns: The column, or the two whose pairs of levels have values; ``user`` or ``item`` for the id's own part.
        size: Spread of the term relative to other terms.
        shared: Share of its variance in which the tasks' effects are tied, from agreeing to opposed.
    """

    columns: tuple[str, ...]
    size: float
    shared: float


TERMS = (
    Term(("user_segment",), 0.6, 0.95),
    Term(("category",), 0.5, 0.95),
    Term(("interests",), 0.8, 0.95),
    Term(("price",), 0.5, 0.95),
    Term(("user_segment", "department"), 0.4, 0.95),
    Term(("item_tags",), 0.7, 0.5),
    Term(("device", "traffic"), 0.4, 0.5),
    Term(("age_group", "gender"), 0.3, 0.5),
    Term(("relevance",), 0.5, 0.2),
    Term(("orders_30d",), 0.3, 0.2),
    Term(("seconds_since_last",), 0.3, 0.2),
    Term(("discount",), 0.3, 0.2),
    Term(("hour",), 0.2, 0.2),
    Term(("weekday",), 0.05, 0.2),
    Term(("user",), 0.35, 0.5),
    Term(("item",), 0.35, 0.5),
)
_LEVELS = {"hour": 24, "weekday": 7, "department": DEPARTMENTS}
_HEAD = {"user": 1_000, "item": 200}


def mixing(shared: float, conflict: float) -> Array:
    """The matrix from five independent standard normals to effects on (purchase, cart, wish), each of variance 1.

    The shared part of wish is turned away from that of purchase by ``conflict`` times 180 degrees, that of cart by half
    as much: at 0 they agree, at 0.5 wish is independent of purchase, at 1 it is the opposite.
    """
    angles = np.pi * conflict * np.array([0, 0.5, 1])
    return np.vstack([np.sqrt(shared) * np.stack([np.cos(angles), np.sin(angles)]), np.sqrt(1 - shared) * np.eye(3)])


class Truth:
    """The probabilities of a world's labels.

    Args:
        world: The users and items.
        conflict: In [0, 1]; see :func:`mixing`.
    """

    def __init__(self, world: World, conflict: float) -> None:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((world.seed, 2))))
        self._terms = [_term(term, conflict, generator) for term in TERMS]
        week = [_SAMPLE_WEEK + timedelta(days) for days in range(7)]
        sample = np.concatenate([self._score(world.clicks(day, 0, 1, _SAMPLE_ROWS)) for day in week])
        self._scale = np.array(SPREAD) / sample.std(axis=0)
        self._shift = np.array([shift(sample[:, t] * self._scale[t], rate) for t, rate in enumerate(RATES)])

    def probabilities(self, clicks: Clicks) -> Array:
        """The probabilities of labels, one row a click, one column a task."""
        result: Array = sigmoid(self._score(clicks) * self._scale + self._shift)
        return result

    def _score(self, clicks: Clicks) -> Array:
        total = np.zeros((len(clicks), len(TASKS)), np.float32)
        for term in self._terms:
            total += term(clicks)
        return total


def _term(term: Term, conflict: float, generator: np.random.Generator) -> Callable[[Clicks], Array]:
    """A term with drawn values, as a function of clicks."""
    mix = term.size * mixing(term.shared, conflict)
    first = term.columns[0]
    if first in _HEAD:
        return lambda clicks: _own(clicks, first, mix)
    column = _BY_NAME.get(first)
    if isinstance(column, Tags):
        table = _values(column.count, mix, generator)
        return lambda clicks: _mean_of_tags(column, clicks, table)
    if isinstance(column, Amount):
        curve = _curve(column, mix, generator)
        return lambda clicks: np.take(curve, clicks.codes[first], axis=0)
    counts = [_count(name) for name in term.columns]
    levels = _values(int(np.prod(counts)), mix, generator)
    if len(counts) == 1:
        return lambda clicks: np.take(levels, clicks.codes[first], axis=0)
    second = term.columns[1]
    return lambda clicks: np.take(levels, clicks.codes[first] * np.int32(counts[1]) + clicks.codes[second], axis=0)


def _values(count: int, mix: Array, generator: np.random.Generator) -> Array:
    table: Array = (generator.standard_normal((count, len(mix))) @ mix).astype(np.float32)
    return table


def _count(name: str) -> int:
    """Number of levels of a categorical, including null."""
    column = _BY_NAME.get(name)
    return column.count + 1 if isinstance(column, Levels) else _LEVELS[name]


def _curve(column: Amount, mix: Array, generator: np.random.Generator) -> Array:
    """A slope and a bend over the quantiles; equal numbers have equal values, and null has its own."""
    nulls = int(column.nulls * BITS)
    _, first = np.unique(column.values, return_index=True)
    level = np.searchsorted(column.values[first], column.values)
    middle = np.bincount(level, NORMAL) / np.bincount(level)
    u = np.clip(middle[level], -2.5, 2.5)
    slope, bend, null = _values(3, mix, generator)
    curve = 0.9 * u[:, None] * slope + 0.3 * (u**2 - 1)[:, None] * bend
    curve[:nulls] = null
    result: Array = curve.astype(np.float32)
    return result


def _mean_of_tags(column: Tags, clicks: Clicks, table: Array) -> Array:
    """The mean of a list's values, weighted if it has weights; 0 for an empty or unknown list."""
    length = clicks.codes["#" + column.name]
    weight = (np.arange(8, dtype=np.int8) < length[:, None]).astype(np.float32)
    if column.weights:
        weight *= clicks.codes[column.weights]
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1)
    codes = clicks.codes[column.name]
    return np.stack([np.einsum("nk,nk->n", weight, np.take(task, codes)) for task in np.ascontiguousarray(table.T)], 1)


def _own(clicks: Clicks, owner: str, mix: Array) -> Array:
    """The effect of an id itself, of size 1 for the most popular id and fading beyond the head."""
    fade = np.sqrt(_HEAD[owner] / (_HEAD[owner] + clicks.codes[owner])).astype(np.float32)
    own: Array = np.take(_NORMAL, clicks.latent[owner]).T @ mix.astype(np.float32) * fade[:, None]
    return own


_NORMAL = NORMAL.astype(np.float32)


def sigmoid(x: Array) -> Array:
    """The probability of log-odds."""
    result: Array = 1 / (1 + np.exp(-x))
    return result


def shift(score: Array, rate: float) -> float:
    """The shift of log-odds that makes their mean probability the rate, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(score + middle).mean() < rate else (low, middle)
    return (low + high) / 2

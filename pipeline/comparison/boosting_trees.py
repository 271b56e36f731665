"""Training of boosted trees by LightGBM, and its trees as the arrays that are served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.openmp import available_threads
from pipeline.serving.trees.forest import CODES, Forest

if TYPE_CHECKING:
    from lightgbm import Booster, Dataset

Array = npt.NDArray[np.floating]

_ROWS_A_THREAD = 20_000  # with fewer, threads wait for each other longer than they work
# What every fit has. Both last keys: the same trees whatever the number of threads.
_ALWAYS = {"objective": "binary", "verbose": -1, "deterministic": True, "force_row_wise": True}


@dataclass(frozen=True)
class Rows:
    """Rows to train or to stop by.

    Args:
        column_NC: The columns, NaN where unknown.
        label_N: 0 or 1.
        weight_N: Weight of each row; None where all count alike.
    """

    column_NC: npt.NDArray[np.float32]
    label_N: Array
    weight_N: Array | None = None


def grown(
    train: Rows, val: Rows, categorical: Sequence[bool], settings: Mapping[str, Any], *, trees: int, patience: int
) -> Forest:
    """Trees that are boosted until some more of them do not lower the validation loss; the best number is kept.

    Args:
        train: The rows to train on.
        val: The rows that decide when to stop.
        categorical: Whether each column is a category.
        settings: LightGBM's parameters.
        trees: The largest number of trees.
        patience: The number of further trees without a lower loss after which training stops.
    """
    # Imported here: every worker of a comparison imports this module.
    from lightgbm import early_stopping
    from lightgbm import train as boost

    threads = min(available_threads(), 1 + len(train.label_N) // _ROWS_A_THREAD)
    every = {**_ALWAYS, "num_threads": threads, **settings}
    data = _dataset(train, categorical, every)
    judge = _dataset(val, categorical, every, reference=data)
    stop = early_stopping(patience, verbose=False)
    return forest_of(boost(every, data, trees, valid_sets=[judge], callbacks=[stop]))


def _dataset(
    rows: Rows, categorical: Sequence[bool], settings: dict[str, Any], reference: Dataset | None = None
) -> Dataset:
    from lightgbm import Dataset

    places = [place for place, is_category in enumerate(categorical) if is_category]
    return Dataset(
        rows.column_NC,
        rows.label_N,
        weight=rows.weight_N,
        reference=reference,
        categorical_feature=places,
        params=settings,
    )


def forest_of(booster: Booster) -> Forest:
    """The trees of a LightGBM model, up to its best iteration, as arrays."""
    model = booster.dump_model(num_iteration=booster.best_iteration)
    arrays = _Arrays()
    for tree in model["tree_info"]:
        arrays.root.append(arrays.add(tree["tree_structure"]))
    return arrays.forest()


@dataclass
class _Arrays:
    """Arrays of a forest that grow tree by tree."""

    root: list[int] = field(default_factory=list)
    node: list[dict[str, Any]] = field(default_factory=list)
    child: list[list[int]] = field(default_factory=list)
    leaf: list[float] = field(default_factory=list)

    def add(self, tree: Mapping[str, Any]) -> int:
        """Add a subtree, parents before children, and return its number as a child."""
        if "leaf_value" in tree:
            self.leaf.append(tree["leaf_value"])
            return -len(self.leaf)
        number = len(self.node)
        self.node.append({key: value for key, value in tree.items() if not key.endswith("_child")})
        self.child.append([])
        self.child[number] = [self.add(tree[side]) for side in ("left_child", "right_child")]
        return number

    def forest(self) -> Forest:
        """The arrays."""
        sets = [_codes(node["threshold"]) for node in self.node if _has_set(node)]
        in_set_SX = np.zeros((len(sets), CODES), np.bool_)
        for in_set_X, codes in zip(in_set_SX, sets, strict=True):
            in_set_X[codes] = True
        child_P2 = np.array(self.child, np.int32).reshape(-1, 2)
        return Forest(
            root_K=np.array(self.root, np.int32),
            column_P=np.array([node["split_feature"] for node in self.node], np.int32),
            threshold_P=np.array([0.0 if _has_set(node) else node["threshold"] for node in self.node], np.float64),
            nan_left_P=np.array([_sends_nan_left(node) for node in self.node], np.bool_),
            set_P=np.array([*self._sets()], np.int32),
            left_P=child_P2[:, 0].copy(),
            right_P=child_P2[:, 1].copy(),
            leaf_L=np.array(self.leaf, np.float64),
            in_set_SX=in_set_SX,
            base=np.zeros(1),
        )

    def _sets(self) -> Iterator[int]:
        count = 0
        for node in self.node:
            yield count if _has_set(node) else -1
            count += _has_set(node)


def _has_set(node: Mapping[str, Any]) -> bool:
    return bool(node["decision_type"] == "==")


def _codes(threshold: str) -> list[int]:
    return [int(code) for code in str(threshold).split("||")]


def _sends_nan_left(node: Mapping[str, Any]) -> bool:
    """Where LightGBM sends a number that is missing: it counts as 0 where the training rows had none missing."""
    if _has_set(node):
        return False
    return bool(node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)

"""The network and the training of a draft, by the number of training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# From this many rows on, one pass over them is enough, and the fused tables' optimizer is well ahead of Adam in it.
ONE_PASS_FROM = 200_000
_STEPS = 1500
_SMALL: Mapping[str, Any] = {"bottom": [128, 64], "dropout": 0.2}
_BATCHES = (2048, 1024, 512, 256, 128)


@dataclass(frozen=True)
class Training:
    """Two sections of a draft.

    Args:
        model: The keys of ``[model]``.
        train: The keys of ``[train]``.
        evidence: The reason, as its comment has it.
    """

    model: Mapping[str, Any]
    train: Mapping[str, Any]
    evidence: str


def choose_training(rows: int, *, has_hashes: bool) -> Training:
    """The settings for a log: those of ``configs/clicklog.toml`` where rows are many.

    Args:
        rows: The number of training rows.
        has_hashes: Whether ids are hashed, most of which have few rows: a second pass learns them by heart.
    """
    if rows >= ONE_PASS_FROM:
        tables = {"table_kernel": "fused", "table_optimizer": "rowwise_adagrad", "table_lr": 0.4}
        train = {"epochs": 1, "batch_size": 2048, "lr": 2e-3, "schedule": "one_cycle", "shuffle_shards": 8, **tables}
        why = f"{rows:,} training rows: one pass; ids are learnt by heart in a second one"
        return Training({"bottom": [256, 128], "dropout": 0.1}, train, why)
    batch = next((size for size in _BATCHES if rows / size >= _STEPS / 4), _BATCHES[-1])
    steps = max(1, rows // batch)
    why = f"{rows:,} training rows: {steps:,} steps of {batch} rows in a pass"
    if has_hashes and steps >= _STEPS / 4:
        train = {"epochs": 1, "batch_size": batch, "lr": 2e-3, "schedule": "one_cycle"}
        return Training(_SMALL, train, f"{why}; hashed ids are learnt by heart in a second one")
    epochs = min(max(1, round(_STEPS / steps)), 8)
    train = {"epochs": epochs, "batch_size": batch, "lr": 1e-3, "schedule": "one_cycle"}
    return Training(_SMALL, train, why)

"""The moments of a training step at which the host waits for the device: each is counted, and has its reason here.

A wait costs a GPU the time until the host has queued the next work. A new one fails these tests: cut it, or say here
why it must stay.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from features.errors import InputError
from models.loss import cross_entropy
from pipeline.training import trainer as training
from pipeline.training.build import trainer_of
from pipeline.training.training import train
from tests.logical_device.conftest import Shop
from tests.logical_device.device import logical_cuda
from tests.pipeline.training.stopping import at_step, newest_step

TO_HOST = "gradops/linalg.py:to_host"
ROWS = "models/embedding/cut.py:sum_by_row"
ENTRIES = "models/embedding/cut.py:TableCut._entries"
TABLES = "models/table_optimizers/row_optimizer.py:RowOptimizer.step"
READ = "models/embedding/base.py:Embedding.rows_read"
AVERAGED = "models/embedding/row_average.py:RowAverage.before"
ANGLES = "gradops/rotation.py:_Made.is_of"
SIZE = "gradops/skew.py:_is_tiny"
SMOOTHED = "gradops/base.py:GramianMethod.step"

REASONS = {
    TO_HOST: "methods compute on the CPU, where T x T algebra takes a tenth of the time of its kernels: the Gram "
    "matrix and the losses come in one transfer. Methods that read neither need none",
    ROWS: "the number of distinct rows that a batch reads is the size of the gradients that the Gram matrix is made "
    "of: once for each width of the tables",
    ENTRIES: "the number of entries of the rows that are measured, or of the tables of one width where there are "
    "several, is a size, too",
    TABLES: "plain tables: the number of distinct rows of each sparse gradient; the fused kernel needs none",
    READ: "the average of tables moves the rows that a step reads: their number is a size",
    AVERAGED: "the places of each table's rows among them, for all tables in one transfer",
    ANGLES: "rotations are made anew if the angles differ, by value: once in the forward pass, once for their gradient",
    SIZE: "the map chooses a series for tiny angles",
    SMOOTHED: "the average of weights is a state of the CPU; where a Gram matrix is read, they are there already",
}
# Of the tables of the shop.
NUMBER_OF_TABLES, WIDTHS = 5, 2

WAITS: dict[tuple[str, ...], dict[str, int]] = {
    ("train.method=uniform", "train.clip_norm=0.5", "train.ema=0.9"): {},
    ("train.method=rlw", "train.precision=bfloat16"): {},
    ("train.method=graddrop(leak=(0.1, 0.2))", "train.keep_negatives=0.5"): {},
    ("train.method=dwa",): {TO_HOST: 1},
    ("train.method=pcgrad", "train.measure=features"): {TO_HOST: 1},
    ("train.method=gradops(alpha=-2)", "train.table_kernel=fused", "train.table_optimizer=adagrad"): {
        TO_HOST: 1,
        ROWS: WIDTHS,
        ENTRIES: WIDTHS,
    },
    ("train.method=pcgrad", "train.gram_share=0.3"): {TO_HOST: 1, ROWS: WIDTHS, ENTRIES: WIDTHS},
    ("train.method=rotograd_v1",): {TO_HOST: 1, ANGLES: 2, SIZE: 1},
    ("train.table_optimizer=lazy_adam", "train.ema=0.9"): {TABLES: NUMBER_OF_TABLES, READ: 1, AVERAGED: 1},
    ("train.method=static(weight=(1.0, 2.0)) + smooth(0.9)",): {SMOOTHED: 1},
}


class EnoughError(Exception):
    """Ends a run after its third step."""


def steps(folder: Path, shop: Shop, *overrides: str) -> list[Counter[str]]:
    """The waits of each of three steps, of which the first is diagnosed and makes what a run makes once."""
    config, prepared = shop(folder, "train.device=cuda", "train.diagnose_every=1000", *overrides)
    found: list[Counter[str]] = []
    with logical_cuda() as log:
        trainer = trainer_of(config, prepared)

        def on_step() -> None:
            found.append(log.waits)
            log.clear()
            if len(found) == 3:
                raise EnoughError

        log.clear()
        with pytest.raises(EnoughError):
            trainer.epoch(on_step)
    return found


def cases() -> list[object]:
    """All of them, those without a reason of their own as slow tests."""
    seen: set[str] = set()
    found: list[object] = []
    for options, waits in WAITS.items():
        is_new = not waits.keys() <= seen or options == next(iter(WAITS))
        found.append(options if is_new else pytest.param(options, marks=pytest.mark.slow))
        seen |= waits.keys()
    return found


@pytest.mark.parametrize("options", cases(), ids=lambda options: " ".join(options))
def test_a_step_waits_where_it_must(tmp_path: Path, shop: Shop, options: tuple[str, ...]) -> None:
    diagnosed, second, third = steps(tmp_path, shop, *options)
    assert second == third == WAITS[options]
    # The exact Gram matrix, of the rows of the tables, comes in addition, and the weights' kernel is made.
    more = {TO_HOST: 1, ROWS: WIDTHS, ENTRIES: WIDTHS, "models/embedding/fused.py:FusedEmbedding.forward": 1}
    assert not (diagnosed - second - Counter(more)), "a diagnosed step forms the exact Gram matrix, and no more"


def test_every_wait_has_a_reason() -> None:
    assert {place for waits in WAITS.values() for place in waits} == REASONS.keys()


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_products_in_tf32_leave_the_gram_matrix_in_full_precision(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """The CPU's kernels know no TF32: what is looked at is the setting at the time of each product."""
    config, prepared = shop(tmp_path, "train.device=cuda", "train.method=pcgrad", f"train.precision={precision}")
    found: dict[str, set[str]] = {"products": set(), "Gram matrix": set()}
    linear, double = torch.nn.functional.linear, Tensor.double
    matmul = torch.backends.cuda.matmul

    def forward(*args: Tensor) -> Tensor:
        found["products"].add(matmul.fp32_precision)
        return linear(*args)

    def added(product_NTT: Tensor) -> Tensor:
        if sys._getframe(1).f_code.co_name == "gramian":
            found["Gram matrix"].add(matmul.fp32_precision)
        return double(product_NTT)

    before = matmul.fp32_precision
    with logical_cuda():
        trainer = trainer_of(config, prepared)
        monkeypatch.setattr(torch.nn.functional, "linear", forward)
        monkeypatch.setattr(Tensor, "double", added)
        with pytest.raises(EnoughError):
            trainer.epoch(_enough)
    assert found == {"products": {"tf32" if precision == "tf32" else before}, "Gram matrix": {"ieee"}}
    assert matmul.fp32_precision == before


def _enough() -> None:
    raise EnoughError


def test_tf32_is_refused_on_the_cpu(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(InputError, match='"tf32" is of products on CUDA'):
        shop(tmp_path, "train.precision=tf32")


def test_a_loss_that_is_no_number_is_told_with_its_step_and_not_saved(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at a step late; the checkpoint is due in between."""
    config, prepared = shop(tmp_path, "train.device=cuda", "train.checkpoint_every=2")

    def fail() -> None:
        monkeypatch.setattr(training, "cross_entropy", lambda *args: cross_entropy(*args) * torch.nan)

    with logical_cuda(), at_step(3, fail), pytest.raises(InputError, match="no longer finite after 4 steps"):
        train(config, prepared)
    assert newest_step(config, prepared) == 2

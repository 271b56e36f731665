"""Runs on the logical device end like runs on the CPU, to the bit: stopped in the middle, resumed, evaluated, saved.

The device runs the CPU's kernels, so that every difference is one of where tensors are. By default a selection; all
methods at both places, all optimizers and all architectures are slow tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gradops.methods import METHODS
from models.table_optimizers.names import NAMES, choices
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.runs.run import WEIGHTS, Run
from pipeline.training.training import train
from tests.conformance.test_architectures import EXAMPLES
from tests.logical_device.conftest import Shop
from tests.logical_device.device import logical_cuda
from tests.pipeline.data.growing_shop import CONFIG, config, write_day
from tests.pipeline.training.stopping import KilledError, assert_same, at_step, kill

# Diagnosed in the first and in the third step, saved after the second; killed in the third.
SHORT = ("train.max_steps=4", "train.diagnose_every=2", "train.checkpoint_every=2", "train.lr=0.01")
# CUDA has an operation for dropout that draws otherwise.
PLAIN = "model.dropout=0.0"
FUSED = ("train.table_kernel=fused", "train.method=pcgrad")

# What goes a way of its own between host and device.
CHOSEN = (
    ("train.method=uniform", "train.ema=0.9", "train.table_optimizer=lazy_adam", "train.clip_norm=0.5"),
    ("train.method=gradops(alpha=-2)", "train.calibration=platt"),
    ("train.method=gradnorm", "train.measure=features", "train.precision=bfloat16"),
    ("train.method=graddrop(leak=(0.1, 0.2))",),
    ("train.method=pcgrad", "train.gram_share=0.3", "train.gram_every=2", "train.gram_smoothing=0.5"),
    ("train.method=rotograd_v1",),
    (*FUSED, "train.table_optimizer=rowwise_adagrad", "train.ema=0.5"),
)
EVERY = (
    *((f"train.method={name}",) for name in METHODS),
    *((f"train.method={name}", "train.measure=features") for name in METHODS if not METHODS[name].at_features),
    *((f"train.table_optimizer={name}",) for name in NAMES),
    *((f"train.table_optimizer={name}", "train.clip_norm=0.5", "train.method=pcgrad") for name in NAMES),
    *((f"train.table_optimizer={name}", "train.ema=0.9", "train.method=pcgrad") for name in NAMES),
    *((*FUSED, f"train.table_optimizer={name}") for name in choices("fused", "cpu")),
    *((*FUSED, f"train.table_optimizer={name}", "train.ema=0.5") for name in choices("fused", "cpu")),
    ("train.method=pcgrad", "train.micro_batch=37", "train.precision=bfloat16"),
    ("train.method=pcgrad + rotation(map='cayley', cooperative_after=2)",),
    ("train.method=db_mtl + bound(10) + smooth(0.9)",),
    ("train.keep_negatives=0.6", "train.prior_bias=true", "train.task_weights=inverse_rate"),
    ("train.weight_decay=0.1", "train.decay_schedule=flat_cosine", "train.calibration=isotonic"),
    ("train.ids={item_id={dropout=0.5}}",),
)
_LEAVING = ("train.task_patience=1", "train.task_snapshots=true", "train.select_by=logloss", "train.method=gradvac")
LEAVING = (*_LEAVING, "train.epochs=3", "train.max_steps=0", "train.checkpoint_every=1")


def by_default(chosen: tuple[tuple[str, ...], ...], every: tuple[tuple[str, ...], ...]) -> list[object]:
    return [*chosen, *(pytest.param(one, marks=pytest.mark.slow) for one in every)]


def there_and_here(folder: Path, shop: Shop, *overrides: str, model: object = None) -> tuple[Run, Run]:
    """The run on the logical device, killed and resumed, and that on the CPU."""

    def made(place: str, *more: str) -> RunConfig:
        found, _ = shop(folder / place, PLAIN, *SHORT, *overrides, *more)
        return found if model is None else found.model_copy(update={"model": model})

    _, prepared = shop(folder)
    with logical_cuda() as log:
        with at_step(3, kill), pytest.raises(KilledError):
            train(made("there", "train.device=cuda"), prepared)
        run = train(made("there", "train.device=cuda"), prepared)
        assert log.waits, "the run was on the device"
    return run, train(made("here"), prepared)


@pytest.mark.parametrize("options", by_default(CHOSEN, (*EVERY, LEAVING)), ids=lambda options: " ".join(options))
def test_a_run_ends_as_on_the_cpu(tmp_path: Path, shop: Shop, options: tuple[str, ...]) -> None:
    assert_same(*there_and_here(tmp_path, shop, *options))


ARCHITECTURES = [
    kind if kind in ("ple over DotConfig", "esmm of members") else pytest.param(kind, marks=pytest.mark.slow)
    for kind in EXAMPLES
]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_trains_there(tmp_path: Path, shop: Shop, kind: str) -> None:
    model = EXAMPLES[kind].model_copy(update={"dropout": 0.0})
    assert_same(*there_and_here(tmp_path, shop, "train.method=pcgrad", model=model))


def test_dropout_goes_on_from_the_position_of_its_device(tmp_path: Path, shop: Shop) -> None:
    options = ("train.device=cuda", "train.method=gradops(alpha=-2)", "model.dropout=0.3", *SHORT)
    with logical_cuda():
        unbroken = train(*shop(tmp_path / "unbroken", *options))
        stopped = shop(tmp_path / "stopped", *options)
        with at_step(3, kill), pytest.raises(KilledError):
            train(*stopped)
        torch.cuda.manual_seed(99)
        before = torch.cuda.get_rng_state()
        assert_same(train(*stopped), unbroken)
        assert torch.equal(torch.cuda.get_rng_state(), before), "a run leaves the generators of a process as they were"


@pytest.mark.parametrize("table_kernel", ["plain", pytest.param("fused", marks=pytest.mark.slow)])
def test_a_run_on_the_device_starts_from_one_of_the_cpu(table_kernel: str) -> None:
    """And one of the CPU from one of the device: weights on disk have no place."""
    Path("shop.toml").write_text(CONFIG)
    for number in (1, 2, 3, 4):
        write_day(number)
    before = prepare(config(3))
    write_day(5)
    after, quick = prepare(config(4)), ["train.epochs=1", "train.batch_size=64", "model.dropout=0.0"]
    quick += [f"train.table_kernel={table_kernel}", "train.table_optimizer=adagrad"]
    first = train(config(3, *quick), before)
    start = f"train.start_from={first.fingerprint}"
    with logical_cuda():
        there = train(config(4, *quick, start, "train.device=cuda"), after)
    here = train(config(4, *quick, start), after)
    weights, others = (load_file(run.folder / WEIGHTS) for run in (there, here))
    assert all(torch.equal(weights[name], others[name]) for name in others)
    assert there.test == here.test

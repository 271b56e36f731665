"""A run that starts from an earlier one's weights."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file

from features.errors import InputError
from gradops.group import Alone
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import WEIGHTS, Run, run_folder
from pipeline.training.build import trainer_of
from pipeline.training.training import train
from pipeline.training.warm_start import can_start, warm_start
from tests.pipeline.data.growing_shop import CONFIG, config, write_day

Days = tuple[Prepared, Prepared]
QUICK = ("train.epochs=1", "train.batch_size=64")


@pytest.fixture
def days() -> Days:
    """Data of four days, and of five, grown from it."""
    Path("shop.toml").write_text(CONFIG)
    for number in (1, 2, 3, 4):
        write_day(number)
    before = prepare(config(3))
    write_day(5)
    return before, prepare(config(4))


def first_run(days: Days, *overrides: str) -> Run:
    return train(config(3, *QUICK, *overrides), days[0])


def next_config(run: Run, *overrides: str) -> RunConfig:
    return config(4, *QUICK, f"train.start_from={run.fingerprint}", *overrides)


def test_encoded_numbers_keep_their_bins_and_weights(days: Days) -> None:
    """Bins stay as data grows, and the network that starts has those of the earlier run."""
    keys = [f"spec.features.price.{key}" for key in ('encoding="piecewise"', "bins=4")]
    before, after = prepare(config(3, *keys)), prepare(config(4, *keys))
    assert after.encoder().encoded_values() == before.encoder().encoded_values() != []
    run = train(config(3, *QUICK, *keys), before)
    chosen = next_config(run, *keys)
    assert can_start(chosen, after, run.fingerprint)
    state, saved = trainer_of(chosen, after).model.plain_state(), load_file(run.folder / WEIGHTS)
    of_numbers = [name for name in saved if name.startswith("numbers.encodings.piecewise.")]
    assert len(of_numbers) == 6
    assert all(torch.equal(state[name], saved[name]) for name in of_numbers)
    assert saved["numbers.encodings.piecewise.weight"][:, :, 1:].any()


@pytest.mark.parametrize("method", ["uniform", "rotograd"])
def test_it_begins_as_the_earlier_run_ended(days: Days, method: str) -> None:
    run = first_run(days, f"train.method={method}")
    chosen = next_config(run, f"train.method={method}")
    state, saved = trainer_of(chosen, days[1]).model.plain_state(), load_file(run.folder / WEIGHTS)
    assert state.keys() == saved.keys()
    for name, value in state.items():
        torch.testing.assert_close(value[: len(saved[name])], saved[name], rtol=1e-5, atol=1e-6)
    assert any(len(value) > len(saved[name]) for name, value in state.items())


def test_new_rows_of_a_table_are_as_the_seed_draws_them(days: Days) -> None:
    run = first_run(days)
    name = "embedding.collection.embedding_bags.table_item.weight"
    known = len(load_file(run.folder / WEIGHTS)[name])
    warm, cold = (
        trainer_of(chosen, days[1]).model.plain_state()[name] for chosen in (next_config(run), config(4, *QUICK))
    )
    assert torch.equal(warm[known:], cold[known:])
    assert not torch.equal(warm[:known], cold[:known])


def test_another_start_is_another_run(days: Days) -> None:
    run = first_run(days)
    warm, cold = next_config(run), config(4, *QUICK)
    assert run_folder(warm, days[1]) != run_folder(cold, days[1])
    assert train(warm, days[1]).val != train(cold, days[1]).val


def test_only_what_the_data_has_grown_from_fits(days: Days) -> None:
    run = first_run(days)
    assert can_start(next_config(run), days[1], run.fingerprint)
    assert not can_start(next_config(run, "model.bottom=[8]"), days[1], run.fingerprint)
    assert not can_start(next_config(run), days[1], "0" * 16)
    anew = prepare(config(4, "data.grow=false", "data.prepared=elsewhere"))
    assert not can_start(next_config(run), anew, run.fingerprint)
    with pytest.raises(InputError, match="has not grown from: prepare it with"):
        trainer_of(next_config(run), anew)


def test_a_table_that_has_become_wider_is_another_network(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    run = first_run(days)
    monkeypatch.setattr("features.encoder.usual_width", lambda _: 32)
    assert not can_start(next_config(run), days[1], run.fingerprint)


def test_what_cannot_be_started_from_is_refused(days: Days) -> None:
    run = first_run(days)
    with pytest.raises(InputError, match="there are no weights in"):
        trainer_of(config(4, *QUICK, f"train.start_from={'0' * 16}"), days[1])
    with pytest.raises(InputError, match=r"bottom.0.weight is \[4, .*\] there and \[8, .*\] here"):
        trainer_of(next_config(run, "model.bottom=[8]"), days[1])
    two = Mock(spec=Alone, size=2)
    with pytest.raises(InputError, match="for one process"):
        warm_start(trainer_of(config(4, *QUICK), days[1]).model, next_config(run), days[1], two)

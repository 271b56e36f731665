"""Journals of studies that were damaged, as a power cut or a network file system does it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from features.errors import InputError
from jobs.console import WRONG_INPUT
from pipeline.doctor.studies import examine_journals
from pipeline.search.journal import damage, open_journal
from tests.commands import run
from tests.pipeline.small_shop import shop_config, shop_log, write, write_config

JOURNAL = Path("runs/studies/shop.journal")


@pytest.fixture
def lines() -> list[bytes]:
    """The lines of a journal with three finished trials."""
    JOURNAL.parent.mkdir(parents=True)
    study = optuna.create_study(study_name="shop", storage=open_journal(JOURNAL))
    study.optimize(lambda trial: trial.suggest_float("alpha", -1, 1), n_trials=3)
    return JOURNAL.read_bytes().splitlines(keepends=True)


def middle(lines: list[bytes], damaged: bytes) -> bytes:
    return b"".join([*lines[:4], damaged, *lines[5:]])


@pytest.mark.parametrize(
    "kind", ["NUL bytes", "NUL bytes within", "half a line", "two lines in one", "text", "no object"]
)
def test_a_line_damaged_in_the_middle_is_named(kind: str, lines: list[bytes]) -> None:
    fifth = lines[4]
    damaged = {
        "NUL bytes": b"\0" * 40 + b"\n",
        "NUL bytes within": fifth[:9] + b"\0" * 40 + fifth[9:],
        "half a line": fifth[: len(fifth) // 2] + b"\n",
        "two lines in one": fifth[:7] + fifth,
        "text": b"\xff\xfe rubbish\n",
        "no object": b"17\n",
    }[kind]
    JOURNAL.write_bytes(middle(lines, damaged))
    with pytest.raises(InputError, match=rf"^line 5 of {JOURNAL} is damaged; copy the file and delete the line"):
        open_journal(JOURNAL)
    (finding,) = examine_journals([shop_config()])
    assert not finding.ok
    assert finding.found == f"line 5 of {JOURNAL} is damaged"


@pytest.mark.parametrize("tail", [b"", b'{"op_code": 5, "wor', b"\0\0\0\0"])
def test_a_last_line_that_was_cut_off_goes_unnoticed(tail: bytes, lines: list[bytes]) -> None:
    JOURNAL.write_bytes(b"".join(lines) + tail)
    study = optuna.load_study(study_name="shop", storage=open_journal(JOURNAL))
    study.optimize(lambda trial: trial.suggest_float("alpha", -1, 1), n_trials=1)
    assert len(study.trials) == 4
    assert damage(JOURNAL) == ""
    assert all(finding.ok for finding in examine_journals([shop_config()]))


def test_a_journal_goes_on_without_its_damaged_line(lines: list[bytes]) -> None:
    JOURNAL.write_bytes(b"".join([*lines, b"\0" * 40 + b"\n"]))
    assert damage(JOURNAL) == f"line {len(lines) + 1} of {JOURNAL} is damaged"
    JOURNAL.write_bytes(b"".join(lines))
    assert len(optuna.load_study(study_name="shop", storage=open_journal(JOURNAL)).trials) == 3


def test_a_search_says_which_line_is_damaged(lines: list[bytes]) -> None:
    write(shop_log(600))
    JOURNAL.write_bytes(middle(lines, b"\0" * 40 + b"\n"))
    code, _, said = run("search", str(write_config()), "--set", "search.trials=3")
    assert code == WRONG_INPUT
    assert f"line 5 of {JOURNAL} is damaged" in said.replace("\n", " ")

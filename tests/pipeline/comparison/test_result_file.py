"""Result files of this version and the one before are read; files of any other content are refused."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from features.errors import InputError
from pipeline.comparison.result_file import ComparisonFile, StudyFile, load_result_file
from pipeline.comparison.result_path import result_path
from tests.conftest import ROOT

FILES = sorted((ROOT / "docs" / "results").glob("*.json"))
KINDS = {"census-full": ComparisonFile, "census-paper": ComparisonFile, "census-search": StudyFile}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_that_is_read_and_saved_is_the_same(file: Path, tmp_path: Path) -> None:
    content = load_result_file(file)
    assert type(content) is KINDS[file.stem]
    content.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == file.read_text().rstrip("\n")


def test_an_undefined_figure_is_kept(tmp_path: Path) -> None:
    """A task of one class has no AUC: NaN in the file, which Python's JSON reads and writes."""
    content = load_result_file(FILES[0]).model_dump()
    content["test"][0]["auc"]["income"] = float("nan")
    ComparisonFile.model_validate(content).save(tmp_path / "undefined.json")
    found = load_result_file(tmp_path / "undefined.json")
    assert isinstance(found, ComparisonFile)
    assert isnan(found.test[0].auc["income"])


def without(key: str) -> dict[str, Any]:
    """A comparison's content that lacks a key."""
    content: dict[str, Any] = json.loads(FILES[0].read_text())
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "Input should be a valid dictionary"),
        (json.dumps(without("kind")), "Unable to extract tag using discriminator 'kind'"),
        (json.dumps(without("runs")), r"comparison\.runs: Field required"),
        (json.dumps(without("kind") | {"kind": "study"}), r"study\.baselines: Field required"),
    ],
)
def test_what_is_no_result_is_refused_with_the_reason(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=f"is no result of a comparison or a search .*{reason}.*run it again"):
        load_result_file(tmp_path / "result.json")
    with pytest.raises(InputError, match="cannot be read"):
        load_result_file(tmp_path / "nowhere.json")


def test_a_result_is_named_for_people_and_by_its_fingerprint() -> None:
    assert result_path(Path("runs/studies"), "census", "0123456789abcdef") == Path("runs/studies/census-01234567.json")

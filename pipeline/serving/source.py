"""The rows to score: which files, which of their columns, and in which types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import InputError
from pipeline.files import parquet
from pipeline.files.content import copies_problem, find_copies
from pipeline.files.losses import find_losses, loss_problems
from pipeline.files.partitions import Partitions, partition_problems, parts_of, type_like, with_partitions
from pipeline.files.schemas import CommonSchema, Widened, common_schema
from pipeline.files.table import Table, find_table
from pipeline.serving.scorer import Scorer

_FIX = "write the files with one schema, or name the columns to keep by --keep"


@dataclass(frozen=True)
class Source:
    """The rows to score.

    Args:
        table: The files.
        schema: The columns to read, in the types that all files are read as.
        keep: The columns to write next to the scores.
        partitions: Keys of the paths that are columns, since the model reads them or they are kept, and no file has
            them.
        widened: The columns that files have in several types.
    """

    table: Table
    schema: pl.Schema
    keep: tuple[str, ...]
    partitions: Partitions
    widened: tuple[Widened, ...]

    @classmethod
    def of(cls, scorer: Scorer, text: str, out: Path, keep: Sequence[str] | None) -> Source:
        """Check every file's columns against the model.

        Args:
            scorer: The model.
            text: Parquet file, folder or glob.
            out: Folder of the scores, which may not hold the rows.
            keep: Columns to write next to the scores; None for all that the model does not read or reads as names, such
                as those of users and items, except columns with the name of an output. Without a list, a file may lack
                a column that the model does not read; it is null there.

        Raises:
            InputError: With all problems of all files.
        """
        table = find_table(text)
        own, unreadable = parquet.read_schemas(table.files)
        partitions = _partitions(scorer, own, keep or ())
        wrong, files = partition_problems(partitions, own)
        whole = {path: with_partitions(schema, partitions) for path, schema in own.items() if path not in files}
        common = _common(scorer, whole, keep)
        kept = tuple(dict.fromkeys(_usual(scorer, common.schema) if keep is None else keep))
        problems = [*unreadable.values(), *wrong, *map(copies_problem, find_copies(own, partitions))]
        if common.schema:
            problems += [f"column `{c}` of --keep is missing" for c in kept if c not in common.schema]
            problems += _unfit(scorer, common.schema)
        problems += [
            f"column `{c}` has the same name as a task or another output; leave it out of --keep"
            for c in kept
            if c in scorer.outputs
        ]
        if any(out.resolve() in path.resolve().parents for path in table.files):
            problems.append(f"{out} holds the rows to score; give another folder for the scores")
        problems += common.problems
        read = [column for column in dict.fromkeys((*kept, *scorer.columns)) if column in common.schema]
        schema = pl.Schema({column: common.schema[column] for column in read})
        if not problems:
            problems += loss_problems(find_losses(own, dict.fromkeys(own, schema)))
        if problems:
            raise InputError.of(f"cannot score {text}", problems)
        return cls(table, schema, kept, partitions, common.widened)


def _partitions(scorer: Scorer, own: Mapping[Path, pl.Schema], keep: Sequence[str]) -> Partitions:
    """The wanted columns that no file has, and some path has as a key."""
    wanted = [c for c in dict.fromkeys((*scorer.columns, *keep)) if not any(c in schema for schema in own.values())]
    keys = {key for path in own for key in parts_of(path)}
    return {c: type_like(scorer.encoder.dtypes.get(c, "String")) for c in wanted if c in keys}


def _common(scorer: Scorer, files: Mapping[Path, pl.Schema], keep: Sequence[str] | None) -> CommonSchema:
    optional = scorer.encoder.spec.optional_columns
    required = [*(column for column in scorer.columns if column not in optional), *(keep or ())]
    compared = None if keep is None else {*scorer.columns, *keep}
    return common_schema(files, required, compared, lambda schema: len(_unfit(scorer, schema)), _FIX)


def _usual(scorer: Scorer, schema: pl.Schema) -> list[str]:
    """The columns that are kept by default: all but those that no feature reads as the name of a thing."""
    spec = scorer.encoder.spec
    names = {column for name, feature in spec.features.items() if feature.is_name for column in spec.columns(name)}
    measures = {*scorer.columns} - names
    return [column for column in schema if column not in {*measures, *scorer.outputs}]


def _unfit(scorer: Scorer, schema: pl.Schema) -> list[str]:
    """The problems of a model with the columns of files, found by scoring zero rows."""
    try:
        scorer.score(pl.Schema({c: schema[c] for c in scorer.columns if c in schema}).to_frame())
    except InputError as error:
        return [str(error).replace("\n", " ")]
    return []

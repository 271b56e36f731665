"""The columns and types that raw files are read as, role by role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from features.contract import check_table
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.files import parquet, partitions
from pipeline.files.schemas import CommonSchema, Widened, common_schema
from pipeline.files.table import Table
from pipeline.files.widening import united

Schemas = Mapping[Path, pl.Schema]


@dataclass(frozen=True)
class Layout:
    """The columns and types that the raw files of each role are read as.

    Args:
        roles: Role to the common schema of its files.
        needed: The columns that are compared and read; the others may differ as they like.
    """

    roles: Mapping[str, CommonSchema]
    needed: frozenset[str]

    @classmethod
    def of(cls, config: RunConfig, files: Mapping[str, Schemas], beside: Iterable[str] = ()) -> Layout:
        """The layout of files, of which some may differ.

        Where the types of several roles can be united, all roles are read as the same one.

        Args:
            config: Declares the columns.
            files: Role to the schema of each readable file, partitions included.
            beside: Columns that are needed in addition to the config's.
        """
        named = (config.split.column, *config.spec.sources, *config.contract.unique, *beside)
        needed = frozenset(named)

        def wrong(schema: pl.Schema) -> int:
            return len(declared_problems(config, schema, "the rows"))

        roles = {role: common_schema(found, needed, needed, wrong) for role, found in files.items()}
        if len(roles) > 1:
            every = {path: schema for found in files.values() for path, schema in found.items()}
            together = common_schema(every, (), needed, wrong)
            roles = {role: _like(common, together) for role, common in roles.items()}
        return cls(
            {role: _with_one_key(config.split.key, common, files[role]) for role, common in roles.items()}, needed
        )

    @classmethod
    def read(cls, config: RunConfig, sources: Mapping[str, Table], beside: Iterable[str] = ()) -> Layout:
        """The layout of files that fit the config.

        Raises:
            InputError: If files cannot be read, or differ.
        """
        files: dict[str, Schemas] = {}
        problems: list[str] = []
        for role, table in sources.items():
            found, unreadable = parquet.read_schemas(table.files)
            files[role] = {p: partitions.with_partitions(s, config.data.partitions) for p, s in found.items()}
            problems += unreadable.values()
        layout = cls.of(config, files, beside)
        problems += [problem for found in layout.roles.values() for problem in found.problems]
        if problems:
            raise InputError.of("raw files cannot be read as one table", problems)
        return layout

    @property
    def schemas(self) -> dict[str, pl.Schema]:
        """Role to the needed columns of its files."""
        return {role: self._needed(found.schema) for role, found in self.roles.items()}

    @property
    def widened(self) -> tuple[Widened, ...]:
        """The needed columns that files have in several types."""
        return tuple({w.column: w for found in self.roles.values() for w in found.widened}.values())

    def read_as(self, files: Mapping[str, Schemas]) -> dict[Path, pl.Schema]:
        """The needed columns of each file, in the types that they are read as."""
        return {
            path: self._needed(self.roles[role].read_as(path, schema))
            for role, found in files.items()
            for path, schema in found.items()
        }

    def _needed(self, schema: pl.Schema) -> pl.Schema:
        return pl.Schema({column: kind for column, kind in schema.items() if column in self.needed})


def declared_problems(config: RunConfig, schema: pl.Schema, role: str) -> list[str]:
    """The problems of the columns that a config declares, but for those that identify a row."""
    return [*check_table(config.spec, schema, role), *config.split.problems(schema, role)]


def _like(role: CommonSchema, together: CommonSchema) -> CommonSchema:
    """A role's schema, in the types of all roles where these take its own."""
    kinds = {c: both if united(kind, both := together.schema[c]) == both else kind for c, kind in role.schema.items()}
    of_all = {w.column: w for w in together.widened if kinds.get(w.column) == together.schema[w.column]}
    widened = {w.column: w for w in role.widened} | of_all
    return replace(role, schema=pl.Schema(kinds), widened=tuple(widened.values()))


def _with_one_key(key: str | None, role: CommonSchema, files: Schemas) -> CommonSchema:
    """A role's schema, with a problem if the split's key is in types that write one value in several ways.

    A row's side follows the text of its key: rows of before would change their side.
    """
    if key is None or all(widened.column != key for widened in role.widened):
        return role
    firsts: dict[str, Path] = {}
    for path, schema in files.items():
        if key in schema and schema[key] != pl.Null:
            firsts.setdefault(_writing(schema[key]), path)
    if len(firsts) < 2:
        return role
    one, other = [*firsts.values()][:2]
    found = f"`{key}` (`[split] key`) is {files[one][key]} in {one} and {files[other][key]} in {other}"
    rule = "a row's side follows the text of its key, such as 7 or 7.0: write the files with one type"
    return replace(role, problems=(*role.problems, f"{found}; {rule}"))


def _writing(kind: pl.DataType) -> str:
    """A name that types share whose equal values have the same text."""
    if kind.is_integer():
        return "integer"
    return "text" if kind in (pl.String, pl.Categorical, pl.Enum) else str(kind)

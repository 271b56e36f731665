"""The raw rows of a split of prepared data, read again from the files that it was prepared from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from features.encoder import GROUP, LABEL, Encoder
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.chunks import Reading, split_into_chunks
from pipeline.data.prepared import Prepared
from pipeline.files.content import identity
from pipeline.files.table import Table
from pipeline.validation import raw_data
from pipeline.validation.layout import Layout

_AGAIN = "run `gradops prepare` again"


def raw_rows(config: RunConfig, prepared: Prepared, split: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The raw rows of a split in their order, some at a time, with the columns of the spec and those that models read.

    Args:
        config: The config, which names the raw files.
        prepared: The data that was prepared from these files.
        split: ``"train"``, ``"val"`` or ``"test"``.
        columns: The columns that models read.

    Raises:
        InputError: If raw files are missing, have changed or lack a column.
    """
    sources = raw_data.find_raw_files(config)
    # Before their columns are compared: files that have changed may have others.
    files = list(_files(config, prepared, sources, split))
    reading = Reading.of(prepared.encoder().spec, prepared.split_config, _layout(config, sources, columns), columns)
    for role, path in files:
        for chunk in split_into_chunks(role, path, path.stem):
            rows = chunk.read(reading).get(split)
            if rows is not None:
                yield rows


def labels_and_groups(encoder: Encoder, rows: pl.DataFrame) -> pl.DataFrame:
    """Labels and groups of raw rows, computed without the features."""
    encoded = encoder.encode(rows.lazy())
    names = encoded.collect_schema().names()
    return encoded.select(name for name in names if name.startswith(LABEL) or name == GROUP).collect()


def _layout(config: RunConfig, sources: Mapping[str, Table], columns: Sequence[str]) -> Layout:
    """The layout of the raw files, with columns that models read."""
    layout = Layout.read(config, sources, columns)
    for role, schema in layout.schemas.items():
        if missing := [column for column in columns if column not in schema]:
            subject = f"data.{role} lacks columns that a registered model reads"
            raise InputError.of(subject, [f"`{column}`" for column in missing])
    return layout


def _files(
    config: RunConfig, prepared: Prepared, sources: Mapping[str, Table], split: str
) -> Iterator[tuple[str, Path]]:
    """Role and path of the raw files with rows of a split.

    Raises:
        InputError: If a file has changed since it was prepared.
    """
    for role, table in sources.items():
        digests, paths = prepared.manifest["sources"][role], table.files
        if len(paths) != len(digests):
            raise InputError(
                f"data.{role} has {len(paths)} files now, but had {len(digests)} when it was prepared; {_AGAIN}"
            )
        for path, content in zip(paths, digests, strict=True):
            if any(part.startswith(f"{split}/") for part in prepared.manifest["files"][role][content]):
                if identity(path, config.data.partitions) != content:
                    raise InputError(f"{path} has changed since it was prepared; {_AGAIN}")
                yield role, path

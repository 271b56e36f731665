"""The raw Parquet files of a config: found, readable, of one schema, and holding what they are declared to hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from features.contract import check_table
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.files import parquet, partitions
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.validation import duplicates, values


def find_raw_files(config: RunConfig) -> dict[str, list[Path]]:
    """The files of each role, ``train`` and perhaps ``holdout``: each there to be hashed, none looked into.

    Raises:
        InputError: If files are missing, or one of them is a folder or may not be read; then with all the problems of
            the others.
    """
    patterns = {"train": config.data.train} | ({"holdout": config.data.holdout} if config.data.holdout else {})
    found = {
        role: [path for path in parquet.find_files(pattern) if config.data.reads(partitions.day_of(path))]
        for role, pattern in patterns.items()
    }
    if missing := [f"data.{role}: no Parquet file at `{patterns[role]}`" for role, paths in found.items() if not paths]:
        where = f"paths are relative to the folder of the command, now {Path.cwd()}"
        raise InputError.of(f"raw data is not there ({where}; `gradops fetch census` fetches census)", missing)
    if not all(path.is_file() and os.access(path, os.R_OK) for paths in found.values() for path in paths):
        check_raw_data(config, found)
    return found


def check_raw_data(config: RunConfig, sources: dict[str, list[Path]], executor: Executor = LOCAL_EXECUTOR) -> None:
    """Hold files, schemas and values against the config, before anything is written.

    Args:
        config: What they are held against.
        sources: The files of each role.
        executor: Who reads the values.

    Raises:
        InputError: With all problems of all columns of all files.
    """
    files: dict[str, dict[Path, pl.Schema]] = {}
    problems = []
    for role, paths in sources.items():
        files[role], wrong = parquet.read_schemas(paths)
        problems += [*_schema_problems(config, f"data.{role}", files[role]), *wrong]
        if not config.contract.empty_days:
            problems += partitions.partition_problems(f"data.{role}", paths, list(files[role]), config.data.without)
    both = sorted(set(sources["train"]) & set(sources.get("holdout", [])))
    problems += [f"{path} is in data.train and in data.holdout; a row is trained on or held out" for path in both]
    every = {p: s for found in files.values() for p, s in found.items()}
    broken, damaged = values.check_values(every, values.rules(config), executor)
    sound = {role: {p: s for p, s in found.items() if p not in damaged} for role, found in files.items()}
    problems += [*broken, *duplicates.problems(sound, config.contract.unique, executor)]
    if problems:
        raise InputError.of("raw data does not fit the config", problems)


def _schema_problems(config: RunConfig, role: str, files: dict[Path, pl.Schema]) -> Iterator[str]:
    def declared(schema: pl.Schema) -> list[str]:
        return [*check_table(config.spec, schema, role), *config.split.problems(schema, role)]

    schema, differing = parquet.common_schema(files, lambda schema: len(declared(schema)))
    if schema is not None:
        yield from declared(schema)
        yield from duplicates.unfit(role, schema, config.contract.unique)
    yield from differing

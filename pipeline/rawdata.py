"""The raw Parquet files of a config: found, readable, of one schema, and what their columns are declared to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from features.contract import InputError, check_table
from pipeline import parquet
from pipeline.config import RunConfig


def find(config: RunConfig) -> dict[str, list[Path]]:
    """The files of each role, ``train`` and perhaps ``holdout``, checked against the config before any row is read.

    Raises:
        InputError: If files are missing, unreadable or of different schemas, or columns do not fit the feature spec.
            All problems of all files are listed.
    """
    patterns = {"train": config.data.train} | ({"holdout": config.data.holdout} if config.data.holdout else {})
    found = {role: parquet.find(pattern) for role, pattern in patterns.items()}
    if missing := [f"data.{role}: no Parquet file at `{patterns[role]}`" for role, paths in found.items() if not paths]:
        where = f"paths are relative to the folder of the command, now {Path.cwd()}"
        raise InputError.of(f"raw data is not there ({where}; `gradops fetch census` fetches census)", missing)
    problems = [p for role, paths in found.items() for p in _problems(config, f"data.{role}", paths)]
    both = sorted(set(found["train"]) & set(found.get("holdout", [])))
    problems += [f"{path} is in data.train and in data.holdout; a row is trained on or held out" for path in both]
    if problems:
        raise InputError.of("raw data does not fit the config", problems)
    return found


def _problems(config: RunConfig, role: str, paths: list[Path]) -> Iterator[str]:
    schema, problems = parquet.schema(paths)
    if schema is not None:
        yield from check_table(config.spec, schema, config.split.column, role)
    yield from problems

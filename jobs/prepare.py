"""Preparation of raw data for training: `gradops prepare configs/census.toml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from jobs.console import AsJson, Config, Overrides, file_notes, show


class Workers(StrEnum):
    """The executors that a user can choose."""

    local = "local"
    ray = "ray"


_engine = typer.Option(
    help="local: work in this process; ray: on the Ray cluster at RAY_ADDRESS, or a local one if that is unset."
)


def main(
    config: Config,
    overrides: Overrides,
    engine: Annotated[Workers, _engine] = Workers("local"),
    as_json: AsJson = False,
) -> None:
    """Split raw data, fit the encoders on the training rows, and write the encoded rows; finished data is kept."""
    from jobs.preparing import PreparingBars
    from pipeline.data.notes import feature_notes, label_notes
    from pipeline.data.prepare import Preparation
    from pipeline.runtime.executor import EXECUTORS
    from pipeline.training.resolve import load_config

    loaded = load_config(config, overrides)
    with EXECUTORS[engine]() as workers, PreparingBars() as bars:
        preparation = Preparation.of(loaded, bars.shown(workers))
        prepared = preparation.prepared()
    splits, begin = prepared.manifest["splits"], _beginnings(prepared.split)
    base = prepared.manifest.get("grown_from")
    title = str(prepared.folder) if base is None else f"{prepared.folder}, grown from {base}"
    rows = [f"{name}: {found['rows']:,} rows, {_shares(found)}" for name, found in splits.items()]
    left_out, widened = preparation.left_out, prepared.manifest.get("widened", [])
    notes = [*label_notes(splits), *feature_notes(prepared.features)]
    notes += file_notes([path for paths in left_out.values() for path in paths], widened)
    found = {"folder": prepared.folder, "grown_from": base, "moments": begin, "splits": splits}
    found |= {"features": prepared.features, "notes": notes, "left_out": left_out, "widened": widened}
    show("\n".join([title, *_by_time(prepared.split["time"], begin), *rows, *notes]), found, as_json)


def _beginnings(split: Mapping[str, Any]) -> dict[str, str]:
    """The moments at which validation and test begin; empty for a split by key."""
    return {part: str(split[part]) for part in ("validation", "test")} if split["time"] else {}


def _by_time(column: str, begin: Mapping[str, str]) -> Iterator[str]:
    if begin:
        moments = ", ".join(f"{part} from {moment.replace('T', ' ')}" for part, moment in begin.items())
        yield f"split by {column}, in UTC: {moments}"


def _shares(split: dict[str, dict[str, dict[str, int]]]) -> str:
    """The share of positives among the known labels of each task."""
    return ", ".join(f"{task} {n['positives'] / n['known']:.1%} positive" for task, n in split["tasks"].items())

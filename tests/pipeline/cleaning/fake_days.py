"""Runs and prepared data as days leave them, without training anything."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path

from pipeline.config.run import RunConfig
from pipeline.daily.history import History
from pipeline.daily.record import DayRecord
from pipeline.data.prepared import Prepared
from pipeline.files.atomic import fingerprint
from pipeline.registry.retention import Pointed
from pipeline.runs.run import run_folder

START = 1_800_000_000.0  # seconds since 1970
DAY = 86_400.0
_WINDOW = 7


def at(path: Path, number: float) -> Path:
    """A path as if it was last changed on a day."""
    os.utime(path, (START + DAY * number,) * 2)
    return path


def data_of_day(config: RunConfig, number: int, *, grown: bool = True) -> Prepared:
    """Prepared data of a day: links to the days of the window before, and parts of its own."""
    folder = config.data.prepared / fingerprint(["data", number])
    parts = [f"train/part-{n:05}.parquet" for n in range(max(0, number - _WINDOW), number)]
    for sub in ("train", "test", "encoder"):
        (folder / sub).mkdir(parents=True)
    for part in parts:
        known = config.data.prepared / fingerprint(["data", number - 1]) / part
        os.link(known, folder / part) if known.exists() else (folder / part).write_bytes(bytes(4000))
    own = ["test/part-0.parquet", "encoder/ids.parquet", "pending.parquet"]
    for part in own:
        (folder / part).write_bytes(bytes(3000))
    spec = config.spec.model_dump(mode="json", exclude={"tasks": {"__all__": {"weight"}}})
    manifest = {"spec": spec, "split": {"time": "at", "test": number}, "parts": [*parts, *own]}
    if grown and number:
        manifest["grown_from"] = fingerprint(["data", number - 1])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    at(folder / "manifest.json", number)
    return Prepared(folder, manifest)


def run_of_day(config: RunConfig, number: int, prepared: Prepared) -> Path:
    """A finished run on a day's data."""
    folder = run_folder(config, prepared)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "weights.safetensors").write_bytes(bytes(20_000))
    (folder / "result.json").write_text("{}")
    at(folder / "result.json", number)
    return folder


def day(config: RunConfig, number: int) -> tuple[Path, Prepared]:
    """All that a day leaves on the disk: data, a run, a record."""
    prepared = data_of_day(config, number)
    run = run_of_day(config, number, prepared)
    record = DayRecord(day=date(2027, 1, 1) + timedelta(number), status="promoted", run=run.name, champion=1)
    History(config).save(record)
    return run, prepared


def pointed(run: Path, prepared: Prepared, model: str = "shop") -> Pointed:
    """The version of a run, with an alias."""
    return Pointed(model, run.name, prepared.fingerprint, f"models:/m-{run.name}")


def disk(*folders: Path) -> int:
    """Bytes of all files below folders; a file with several names counts once."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                found[path.stat().st_ino] = path.stat().st_size
    return sum(found.values())

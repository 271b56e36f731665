"""Prepared data: which goes and which stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from features.errors import InputError
from pipeline.cleaning.entry import UNNEEDED, Entry, last_change
from pipeline.cleaning.needs import Needs, data_of
from pipeline.cleaning.runs import fingerprinted, trained_config
from pipeline.config.run import RunConfig
from pipeline.data.prepared import MANIFEST, Prepared
from pipeline.runs.run import RESULT

_BETWEEN = "older; its manifest stays, since the newest data has grown from it and it from data that an alias needs"


def judge_data(config: RunConfig, needs: Needs, before: float, staying: Sequence[Path], unsure: str) -> Iterator[Entry]:
    """Judge the folders in a config's folder of prepared data.

    Args:
        config: The config.
        needs: Everything that stays.
        before: Data that is younger stays; in seconds since 1970.
        staying: The folders of runs that stay: their data does, too.
        unsure: The reason why all data stays; empty if it does not.

    Raises:
        InputError: If a manifest is damaged: later data may have grown from its data.
    """
    # Runs may lie in the same folder; they are judged as runs.
    folders = [folder for folder in fingerprinted(config.data.prepared) if not (folder / RESULT).exists()]
    every = {p.fingerprint: p for p in map(_found, folders) if p is not None}
    newest, trained = _newest(config, every), _trained_on(staying, list(every))
    between = _between([every[name] for name in newest], needs)
    unsure = unsure or (f"another command is at work: {needs.at_work}" if needs.at_work else "")
    for folder in folders:
        name, is_whole = folder.name, folder.name in every
        if not is_whole and name in between:
            continue  # what is left of it already is its manifest
        reasons = (
            unsure,
            needs.data.get(name, ""),
            "the newest of its kind: later data grows from it" if name in newest else "",
            "a run that stays was trained on it" if name in trained else "",
            "newer" if is_whole and every[name].written / 1e9 > before else "",
            "newer" if not is_whole and last_change(folder) > before else "",
        )
        why = _BETWEEN if name in between else UNNEEDED
        entry = Entry.at("prepared data", folder, stays=next(filter(None, reasons), ""), goes=why)
        yield replace(entry, remove=partial(_remove, folder, keep_manifest=name in between))


def _found(folder: Path) -> Prepared | None:
    """The folder's data; None if it lacks a part."""
    try:
        return Prepared.find(folder)
    except (ValueError, KeyError, TypeError) as error:
        fix = "restore it, or remove the folder if the raw rows are still there"
        raise InputError(f"{folder / MANIFEST} is damaged ({error}); {fix}") from error


def _newest(config: RunConfig, every: Mapping[str, Prepared]) -> set[str]:
    """The newest data of each kind that has grown, and of the config's own kind: later data grows from these."""
    spec = config.spec.model_dump(mode="json", exclude={"tasks": {"__all__": {"weight"}}})
    kinds: dict[str, Prepared] = {}
    for prepared in every.values():
        manifest = prepared.manifest
        if "grown_from" in manifest or manifest["spec"] == spec:
            split = {k: v for k, v in manifest["split"].items() if k not in ("validation", "test")}
            kind = json.dumps([manifest["spec"], split])
            if kind not in kinds or kinds[kind].written < prepared.written:
                kinds[kind] = prepared
    return {prepared.fingerprint for prepared in kinds.values()}


def _trained_on(runs: Sequence[Path], data: Sequence[str]) -> set[str]:
    """Fingerprints of the data that runs were trained on."""
    configs = {run: trained_config(run) for run in runs}
    found = {data_of(trained, run.name, data) for run, trained in configs.items() if trained is not None}
    return {one for one in found if one is not None}


def _between(newest: Sequence[Prepared], needs: Needs) -> set[str]:
    """The ancestors of the newest data as far as the last one that is needed: a warm start follows their manifests."""
    found: set[str] = set()
    for prepared in newest:
        line = list(prepared.lineage())
        last = max((place for place, name in enumerate(line) if name in needs.data), default=0)
        found |= set(line[:last])
    return found


def _remove(folder: Path, *, keep_manifest: bool) -> None:
    """Remove data. Its manifest stays to the end: data that lacks a part that its manifest names is never found."""
    for path in sorted(folder.iterdir(), key=lambda path: path.is_dir()):
        if path.name != MANIFEST:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not keep_manifest:
        shutil.rmtree(folder)

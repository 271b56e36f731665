"""The state of an unfinished run on disk, complete or absent, whatever ends the process."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import _save_state_dict

from features.errors import InputError
from gradops.group import Alone, Group
from pipeline.files.atomic import durable, remove_drafts, sha256_file
from pipeline.runs.run import differences
from pipeline.training.distributed import on_first, once, processes_of
from pipeline.training.packing import PackedState

# Raise this number when the format of a state changes: older checkpoints are then refused.
_FORMAT = 2
_STATE, _MANIFEST, _NEWEST = "state.json", "manifest.json", "newest"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, each a folder ``step-N``.

    A checkpoint is written to a draft and put on the disk; the draft is renamed, and then the file ``newest`` is
    replaced by one that names it. Its tensors are files of :mod:`torch.distributed.checkpoint`, everything else is
    ``state.json``, and ``manifest.json`` has the size and the hash of both.

    Args:
        folder: Folder of the checkpoints.
        run: Everything that the run's result depends on; checkpoints of another run are refused.
        keep: Number of newest checkpoints to keep.
        group: The ranks that train the run. They share the folder, and each writes its own part.
    """

    folder: Path
    run: Mapping[str, Any]
    keep: int
    group: Group = Alone()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the run against other processes while the block runs; drafts of a killed process are removed."""
        with on_first(self._locked, self.group):
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock):
            remove_drafts(self.folder)
            yield

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the state after a step, as :meth:`write` does.

        Args:
            step: Number of steps done.
            state: Tensors, numbers, text and None in mappings, lists and tuples.

        Raises:
            InputError: If it cannot be written. Earlier checkpoints are unchanged.
        """
        self.write(step, PackedState.of(state))

    def write(self, step: int, state: PackedState) -> None:
        """Write the state after a step, then remove the oldest checkpoints; any thread may do it.

        Args:
            step: Number of steps done.
            state: The state, whose tensors nobody changes meanwhile.

        Raises:
            InputError: If it cannot be written. Earlier checkpoints are unchanged.
        """
        try:
            with on_first(lambda: durable(self._of(step)), self.group) as draft:
                self._write(draft, state)
            once(lambda: self._point_to(step), self.group)
        except OSError as error:
            raise InputError(self._unwritten(step, error)) from error
        once(lambda: self._let_go(step), self.group)

    def _write(self, draft: Path, state: PackedState) -> None:
        """Write the tensors of every rank, and on the first rank the rest."""
        once(draft.mkdir, self.group)
        alone = self.group.size == 1
        # In a single process everything is synchronised once, at the end.
        writer = FileSystemWriter(draft, sync_files=not alone)
        try:
            # torch's `save` warns of a single process, and only the main thread may silence warnings.
            _save_state_dict(state.tensors, writer, process_group=processes_of(self.group), no_dist=alone)
        except CheckpointException as error:
            raise _cause(error) from None
        content = {"format": _FORMAT, "run": self.run, "state": state.content}
        once(lambda: _describe(draft, json.dumps(content)), self.group)

    def _point_to(self, step: int) -> None:
        """Name a checkpoint as the newest."""
        with durable(self.folder / _NEWEST) as draft:
            draft.write_text(str(step))

    def _let_go(self, step: int) -> None:
        """Remove all checkpoints after a step, and all but the newest up to it."""
        older = [s for s in self._steps() if s < step]
        for unwanted in {*self._steps()} - {step, *older[: self.keep - 1]}:
            shutil.rmtree(self._of(unwanted))

    def newest(self, like: Callable[[], Mapping[str, Any]] = dict) -> dict[str, Any] | None:
        """The state of the newest whole checkpoint; None without one. A warning names the damage of newer ones.

        Args:
            like: Returns a state with tensors that are spread over ranks; called only if there is a checkpoint. Tensors
                of the same names are spread alike, all others come whole. Not needed if no tensor is spread.

        Raises:
            InputError: If it is of another run. All differences are listed.
        """
        step = once(self._newest_whole, self.group)
        return None if step is None else self._read(self._of(step), like())

    def remove(self) -> None:
        """Remove all checkpoints, once the run is finished."""
        once(self._remove, self.group)

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.unlink(missing_ok=True)  # a process that waits for it finds the file gone, and makes another

    def _newest_whole(self) -> int | None:
        damages = []
        for step in self._by_preference():
            if damage := _damage(self._of(step)):
                damages.append(damage)
                continue
            _warn(damages, f"goes on from step {step}")
            return step
        _warn(damages, "starts again")
        return None

    @property
    def _lock(self) -> Path:
        return self.folder.with_suffix(".lock")

    def _of(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _steps(self) -> list[int]:
        """The steps with a checkpoint, the newest first."""
        return sorted((int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*")), reverse=True)

    def _by_preference(self) -> list[int]:
        """The steps, first the one named as the newest: it alone is known to be complete."""
        steps, pointer = self._steps(), self.folder / _NEWEST
        named = int(pointer.read_text()) if pointer.exists() else None
        return sorted(steps, key=lambda step: step != named)

    def _read(self, folder: Path, like: Mapping[str, Any]) -> dict[str, Any]:
        content = json.loads((folder / _STATE).read_text())
        there = content["run"] | {"checkpoint format": content.get("format", 1)}
        here = json.loads(json.dumps(self.run)) | {"checkpoint format": _FORMAT}
        if differing := differences(there, here):
            subject = f"{folder} is a checkpoint of another run; delete {self.folder} to train this one from its start"
            raise InputError.of(subject, differing)
        tensors = _read_tensors(folder, PackedState.of(like).tensors)
        state: dict[str, Any] = PackedState(content["state"], tensors).unpacked()
        return state

    def _unwritten(self, step: int, error: OSError) -> str:
        whole = next((f"step {s}" for s in self._by_preference()), "the start")
        fix = f"free some disk, or move `runs` to another one; the same command then goes on from {whole}"
        return f"the checkpoint of step {step} cannot be written to {self.folder} ({error.strerror}): {fix}"


def _describe(folder: Path, content: str) -> None:
    """Write the state without tensors, and the size and hash of every file."""
    (folder / _STATE).write_text(content)
    files = {path.name: [path.stat().st_size, sha256_file(path)] for path in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(files))


def _read_tensors(folder: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    reader = FileSystemReader(folder)
    tensors = {
        name: like[name].clone()
        if isinstance(like.get(name), ShardedTensor)
        else torch.empty(found.size, dtype=found.properties.dtype)
        for name, found in reader.read_metadata().state_dict_metadata.items()
        if isinstance(found, TensorStorageMetadata)  # as all are
    }
    with _one_process():
        load(tensors, storage_reader=reader, no_dist=True)  # each rank reads what it needs
    return tensors


@contextmanager
def _one_process() -> Iterator[None]:
    """Silence torch's warning that this is a single process, which is intended."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _cause(error: CheckpointException) -> BaseException:
    """The error that stopped the writer; a serialiser may have wrapped it in its own."""
    cause, _ = next(iter(error.failures.values()))
    hidden = cause.__context__
    return hidden if isinstance(hidden, OSError) else cause


def _damage(folder: Path) -> str | None:
    """The first damage of a checkpoint's files; None if they are whole."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError) as error:
        return f"{folder / _MANIFEST} cannot be read ({error})"
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.exists():
            return f"{path} is missing"
        if path.stat().st_size != size:
            return f"{path} has {path.stat().st_size} bytes, and {size} were written"
        if sha256_file(path) != digest:
            return f"{path} has other bytes than were written"
    return None


def _warn(damages: list[str], consequence: str) -> None:
    if damages:
        warnings.warn(f"{'; '.join(damages)}: the run {consequence}", stacklevel=3)

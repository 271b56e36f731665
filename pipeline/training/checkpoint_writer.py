"""Writes checkpoints behind the next steps, from a copy of the state in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from pipeline.training.checkpoint import Checkpoints
from pipeline.training.distributed import apart
from pipeline.training.packing import PackedState

_log = logging.getLogger(__name__)


@dataclass
class CheckpointWriter:
    """Writes a run's checkpoints, one at a time.

    Torch writes tensors, and Python hashes files, without Python's global lock, so a thread holds the steps up by
    little more than the copy. Ranks write together, over connections of their own.

    Args:
        checkpoints: The run's checkpoints.
        pool: One thread that writes them; None to write each before the next step.
    """

    checkpoints: Checkpoints
    pool: ThreadPoolExecutor | None
    _present: Future[None] | None = field(default=None, init=False)
    _memory: dict[str, Tensor] = field(default_factory=dict, init=False)

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._present is not None and not self._present.done()

    @property
    def failure(self) -> BaseException | None:
        """The error of the last checkpoint; None if it has none yet. :meth:`wait` raises it."""
        return None if self._present is None or self.is_writing else self._present.exception()

    def save(self, step: int, state: Mapping[str, Any], unchanged: Sequence[str] = ()) -> None:
        """Copy the state after a step and begin to write it, once the checkpoint before is written.

        Args:
            step: Number of steps done.
            state: As for :meth:`pipeline.training.checkpoint.Checkpoints.save`.
            unchanged: Entries of the state whose tensors nobody changes; they are not copied.

        Raises:
            InputError: If the checkpoint before could not be written.
        """
        self.wait()
        if self.pool is None:
            self.checkpoints.save(step, state)
            return
        copy = PackedState.of(state).copied(unchanged, self._memory)
        self._present = self.pool.submit(self.checkpoints.write, step, copy)

    def wait(self) -> None:
        """Wait for the checkpoint that is being written, and raise its error if it has one."""
        present, self._present = self._present, None
        if present is not None:
            present.result()


@contextmanager
def checkpoint_writer(checkpoints: Checkpoints, *, behind: bool) -> Iterator[CheckpointWriter]:
    """The writer of a run's checkpoints; when the block is left, the last one is written, and an unheard error logged.

    Args:
        checkpoints: The run's checkpoints.
        behind: Whether they are written behind the next steps.
    """
    if not behind:
        yield CheckpointWriter(checkpoints, None)
        return
    with apart(checkpoints.group) as group, ThreadPoolExecutor(1, "checkpoint") as pool:
        writer = CheckpointWriter(replace(checkpoints, group=group), pool)
        try:
            yield writer
        finally:
            pool.shutdown()
            if writer.failure is not None:  # the run ended, finished or not, before it heard of this one
                _log.warning("%s", writer.failure)

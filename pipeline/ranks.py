"""The processes that train one model together: started by ``torchrun``, or this one alone."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar, cast

import torch.distributed as dist

from gradops.group import Alone, Group, Ranks

Result = TypeVar("Result")

# What TorchRec still calls in torch, and how fbgemm declares gradients that are what they should be.
_THEIRS = (
    "`torch.distributed.(reduce_scatter|all_gather)",
    "`broadcast_buffers` is deprecated",
    "Please use DTensor instead and we are deprecating ShardedTensor",
    "fbgemm::dense_embedding_codegen_lookup_function",
)


@contextmanager
def together(*, checked: bool = False) -> Iterator[Group]:
    """The processes that ``torchrun`` has started with this one, while the block runs.

    Args:
        checked: Whether they compare in every step what should be equal on all of them.
    """
    if not dist.is_torchelastic_launched():
        yield Alone()
        return
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    # Each kind of device by its own library; what is on neither, such as text, goes over gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if dist.is_nccl_available() else "gloo")
    with warnings.catch_warnings():
        for message in _THEIRS:
            warnings.filterwarnings("ignore", message)
        try:
            yield Ranks(checked=checked)
        finally:
            dist.destroy_process_group()


def _end_with(parent: int) -> None:
    """Save and end when ``torchrun`` was killed: its ranks would train on for nobody, and hold the lock."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def number() -> int:
    """This process's rank, also before the processes have met."""
    return int(os.environ["RANK"]) if dist.is_torchelastic_launched() else 0


def neighbours() -> tuple[int, int]:
    """How many ranks this machine has, and how many there are."""
    if not dist.is_torchelastic_launched():
        return 1, 1
    return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])


def once(action: Callable[[], Result], group: Group) -> Result:
    """What an action of the first rank gives, on all of them; an error of it is everybody's."""
    if group.size == 1:
        return action()
    outcome: list[Any] = [None, None]
    if group.rank == 0:
        try:
            outcome[0] = action()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    result, failure = outcome
    if failure is not None:
        raise failure
    return cast("Result", result)


@contextmanager
def on_first(context: Callable[[], AbstractContextManager[Result]], group: Group) -> Iterator[Result]:
    """A context that the first rank enters and leaves for all: nobody goes on before it is entered, or left."""
    with ExitStack() as stack:
        yield once(lambda: stack.enter_context(context()), group)
        once(stack.close, group)

"""The processes that train one model together: started by ``torchrun``, or this one alone."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from features.errors import InputError
from gradops.group import Alone, Group, Ranks

Result = TypeVar("Result")

# Warnings about deprecated torch functions that TorchRec calls, and about fbgemm's declaration of its gradients.
_THEIRS = (
    "`torch.distributed.(reduce_scatter|all_gather)",
    "`broadcast_buffers` is deprecated",
    "Please use DTensor instead and we are deprecating ShardedTensor",
    "fbgemm::dense_embedding_codegen_lookup_function",
)
# Environment variable with which torchrun makes a new store each time that it starts the ranks.
_NEW_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
_DEVICE = "GLOO_SOCKET_IFNAME"  # environment variable of gloo's network devices


@contextmanager
def rank_group(*, checked: bool = False) -> Iterator[Group]:
    """The processes that ``torchrun`` has started with this one, while the block runs.

    Args:
        checked: Whether they compare, in every step, values that should be equal on all of them.

    Raises:
        InputError: If several machines could not meet, at all or again after a restart.
    """
    if not dist.is_torchelastic_launched():
        yield Alone()
        return
    _check_network()
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    store, rank, size = next(rendezvous("env://"))
    # Each kind of device uses its own library; other data, such as text, goes over gloo.
    backend = "cpu:gloo,cuda:nccl" if dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=PrefixStore(_life(), store), rank=rank, world_size=size)
    with without_their_warnings():
        try:
            yield Ranks(checked=checked)
        finally:
            dist.destroy_process_group()


@contextmanager
def without_their_warnings() -> Iterator[None]:
    """Leave out warnings of libraries about libraries while the block runs."""
    with warnings.catch_warnings():
        for message in _THEIRS:
            warnings.filterwarnings("ignore", message)
        yield


def _check_network() -> None:
    """Refuse several machines where gloo would offer the others an address of this machine alone.

    Raises:
        InputError: If no device is named, and this machine's name is a loopback address or none at all.
    """
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1" or os.environ.get(_DEVICE):
        return
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = "127.0.0.1"  # gloo's own choice then
    if ip_address(address).is_loopback:
        fix = f"export {_DEVICE}=DEVICE on every machine, the one of the network between them; `ip address` lists them"
        raise InputError(f"the other machines could not reach this one: its name {name} stands for {address}; {fix}")


def _life() -> str:
    """The name of the ranks' meeting place, a new one after each restart.

    torchrun restarts ranks with the store in which the dead ones have left their addresses, and a rank that reads such
    an address waits for ever. The number of restarts would tell them apart, but each machine counts for itself.

    Raises:
        InputError: If there are several machines, they may be started again, and share such a store.
    """
    lives = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if os.environ.get(_NEW_STORE) == "1":
        return "ranks"
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1" and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        fix = f"export {_NEW_STORE}=1 on every machine before torchrun, or give --max-restarts 0"
        raise InputError(f"ranks of several machines that torchrun starts again could not meet: {fix}")
    return f"ranks of life {lives}"


def _end_with(parent: int) -> None:
    """Save and end this process when ``torchrun`` was killed; it would otherwise train on and hold the lock."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def neighbours() -> tuple[int, int]:
    """The number of ranks on this machine, and of all ranks."""
    if not dist.is_torchelastic_launched():
        return 1, 1
    return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])


def processes_of(group: Group) -> dist.ProcessGroup | None:
    """The process group of some ranks in torch's terms; None for the default one, or a single process."""
    return group.processes if isinstance(group, Ranks) else None


@contextmanager
def apart(group: Group) -> Iterator[Group]:
    """The same ranks with connections of their own, while the block runs, for the exchanges of another thread."""
    if not isinstance(group, Ranks):
        yield group
        return
    processes = dist.new_group(backend="gloo")
    try:
        yield replace(group, processes=processes)
    finally:
        dist.destroy_process_group(processes)


def once(action: Callable[[], Result], group: Group) -> Result:
    """The result of an action that the first rank runs, on all ranks; an error is raised on all ranks too."""
    if group.size == 1:
        return action()
    outcome: list[Any] = [None, None]
    if group.rank == 0:
        try:
            outcome[0] = action()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, group=processes_of(group))
    result, failure = outcome
    if failure is not None:
        raise failure
    return cast("Result", result)


@contextmanager
def on_first(context: Callable[[], AbstractContextManager[Result]], group: Group) -> Iterator[Result]:
    """A context that the first rank enters and leaves for all: no rank goes on before it is entered, or left."""
    with ExitStack() as stack:
        yield once(lambda: stack.enter_context(context()), group)
        once(stack.close, group)

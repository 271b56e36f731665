"""An executor on the machines of a Ray cluster: plain tasks around the same functions.

With ``RAY_ADDRESS`` an existing cluster is joined, and left as it was. Without it, a cluster of this machine's
processors is started, and stopped at the end of the work. Every machine needs the command's folder, the raw files and
the folder of prepared data at the same paths, and the same version of gradops.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from features.errors import InputError
from pipeline.runtime.versions import data_versions

Item = TypeVar("Item")
Result = TypeVar("Result")

# Ray reports usage to its makers by default, and Polars starts a thread for each CPU in every worker.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "POLARS_MAX_THREADS": "1"}


@contextmanager
def ray_cluster(cpus: int | None = None) -> Iterator[RayExecutor]:
    """An executor on a Ray cluster that is joined or started here, until the block is left.

    Args:
        cpus: Number of this machine's CPUs for a cluster that is started here; None for all.

    Raises:
        InputError: If there is no cluster at ``RAY_ADDRESS``.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with _environment(_ENVIRONMENT):
            _check_address(address)
            ray.init(
                address or "local",
                num_cpus=None if address else cpus,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
    except (OSError, RuntimeError, ValueError) as error:
        if not address:
            raise
        reason = str(error).strip().partition("\n")[0]
        fix = "begin one by `ray start --head`, or unset RAY_ADDRESS to work on this machine alone"
        raise InputError(f"there is no Ray cluster to join at RAY_ADDRESS={address} ({reason}); {fix}") from None
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray's handler would end the command as if it had failed
    try:
        with redirect_stdout(sys.stderr):  # Ray prints lost machines to standard output, among a command's results
            yield RayExecutor()
    finally:
        ray.shutdown()


def _check_address(address: str | None) -> None:
    """Connect to an address once, which fails within seconds; Ray takes minutes to find no listener there."""
    host, _, port = (address or "").rpartition(":")
    if port.isdigit() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


class RayExecutor:
    """An executor on the cluster that this process has joined."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        threads: int = 1,  # noqa: ARG002  # a task a CPU, each in a process of its own
    ) -> Iterator[Result]:
        """As :meth:`pipeline.runtime.executor.Executor.map`; a lost machine's items are done again elsewhere."""
        bound, folder, waiting = ray.put(function), Path.cwd(), iter(items)
        cpus = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        # Twice as many tasks as CPUs: a CPU that becomes free finds the next one waiting.
        running: deque[Any] = deque(_apply.remote(bound, item, folder) for item in islice(waiting, 2 * cpus))
        try:
            while running:
                result = _result(running[0])
                running.popleft()
                running.extend(_apply.remote(bound, item, folder) for item in islice(waiting, 1))
                yield result
        finally:
            for task in running:
                ray.cancel(task)
            ray.wait(list(running), num_returns=len(running))  # no task writes after this

    def check_access(self, files: Sequence[Path], folder: Path) -> None:
        """Ask every machine whether it sees the files and the folder that this one does."""
        mark = folder / f".{uuid4().hex}.mark"
        mark.touch()
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
            problems = [problem for node in nodes for problem in _access_problems(node, files, mark)]
        finally:
            mark.unlink()
        if problems:
            raise InputError.of("machines of the Ray cluster cannot do this work", problems)


def _access_problems(node: dict[str, Any], files: Sequence[Path], mark: Path) -> list[str]:
    """The reasons why one machine cannot do the work."""
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task = _find_problems.options(scheduling_strategy=here).remote(Path.cwd(), files, mark, data_versions())
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    try:
        return [f"{name} {problem}" for problem in ray.get(task)]
    except RayError as error:
        reason = str(error).strip().rpartition("\n")[2]
        return [f"{name} cannot run gradops ({reason}); install the same gradops there"]


@ray.remote(num_cpus=0)  # runs even if every CPU of the machine is busy
def _find_problems(folder: Path, files: Sequence[Path], mark: Path, expected: dict[str, str]) -> list[str]:
    mount = "mount the same folders at the same paths on every machine"
    if not folder.is_dir():
        return [f"does not see {folder}, where the command runs; {mount}, and run it in one of them"]
    problems = []
    with chdir(folder):
        if missing := [path for path in files if not path.is_file()]:
            problems.append(f"does not see {len(missing)} of {len(files)} raw files, as {missing[0]}; {mount}")
        if not mark.exists():
            problems.append(f"does not see a new file in {mark.parent}, or sees another folder; {mount}")
        elif not os.access(mark.parent, os.W_OK):
            problems.append(f"may not write in {mark.parent}; let it")
    if data_versions() != expected:
        problems.append(f"has {data_versions()}, not {expected}; install the same there")
    return problems


@ray.remote
def _apply(function: Callable[[Any], Any], item: Any, folder: Path) -> Any:
    with chdir(folder):  # paths are relative to the folder of the command
        return function(item)


def _result(task: Any) -> Any:
    """The value that a task returned; an InputError that it raised is raised here, as if the task had run here."""
    try:
        return ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise


@contextmanager
def _environment(added: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes started in the block; a variable that is set already keeps its value."""
    new = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]

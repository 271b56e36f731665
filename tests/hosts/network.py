"""Hosts on one machine: each has a network, a name, processes and temporary files of its own, and shares the disk.

A host's network outlives its processes, as a network card does. Everything is a process of ours: when they end, so do
the networks, the pair of devices between them and every process on a host, whatever has happened.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

NAMES = ("first", "second")
DEVICE = "eth0"
LONG = 600  # seconds that a busy machine may take
_SLEEP = ("sleep", "infinity")
_WITH_US = ("setpriv", "--pdeathsig", "SIGKILL")  # ends when the tests are killed
_TOOLS = ("ip", "unshare", "nsenter", "setpriv", "mount")


def problem() -> str | None:
    """Why there can be no hosts on this machine; None if there can."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)}"
    tried = ["unshare", "--net", "--pid", "--fork", "--mount", "ip", "link", "add", "type", "veth"]
    found = subprocess.run(tried, capture_output=True, check=False)
    return "needs root: networks of our own are not allowed here" if found.returncode else None


@dataclass
class Host:
    """One of the hosts.

    Args:
        name: Its name, which all hosts know.
        address: Its address.
        card: The process that holds its network.
        folder: The folder of the files that describe it.
    """

    name: str
    address: str
    card: int
    folder: Path
    _init: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _commands: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False)

    def boot(self) -> None:
        """Start the host, with nothing running."""
        hosts, temporary = self.folder / f"hosts-{self.name}", self.folder / f"tmp-{self.name}-{time.monotonic_ns()}"
        temporary.mkdir()
        # Ray keeps its sockets below /tmp/ray, where a machine of its own has nobody else's. No name server is asked.
        places = {"/tmp/ray": temporary, "/etc/hosts": hosts, "/etc/resolv.conf": "/dev/null"}
        private = " && ".join(f"mount --bind {own} {place}" for place, own in places.items())
        script = f"mkdir -p /tmp/ray && {private} && hostname {self.name} && exec {' '.join(_SLEEP)}"
        apart = ["unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]
        self._init = subprocess.Popen([*_WITH_US, "nsenter", f"--net=/proc/{self.card}/ns/net", *apart])
        until(lambda: self._process is not None and b"sleep" in _command(self._process), 20)

    @property
    def _process(self) -> int | None:
        """The host's first process, as this machine numbers it."""
        assert self._init is not None
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def start(self, lines: str, folder: Path, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Type lines into a shell of the host.

        Args:
            lines: The lines.
            folder: Where.
            environment: Variables beside those of this process.
            log: The file that gets what it prints.
        """
        inside = ["nsenter", "-t", str(self._process), "--net", "--uts", "--mount", "--pid"]
        shell = [*inside, "bash", "-c", f"cd {folder}\n{lines}"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with log.open("ab") as stream:
            command = subprocess.Popen(
                shell, env={**os.environ, "PATH": path, **environment}, stdout=stream, stderr=stream
            )
        self._commands.append(command)
        return command

    def kill(self) -> None:
        """Cut the power: the link falls silent, and no process says goodbye."""
        self.cut()
        assert self._init is not None
        self._init.kill()
        for ended in (self._init, *self._commands):
            ended.wait()

    def cut(self) -> None:
        """Cut the host's link."""
        _on(self.card, "ip", "link", "set", DEVICE, "down")

    def mend(self) -> None:
        """Mend the host's link."""
        _on(self.card, "ip", "link", "set", DEVICE, "up")
        _on(self.card, "ip", "route", "replace", "default", "dev", DEVICE)


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Two hosts that see each other, until the block is left.

    Args:
        folder: An empty folder for the files that describe them.
    """
    addresses = dict(zip(NAMES, ("10.77.0.1", "10.77.0.2"), strict=True))
    for name in NAMES:
        # As Debian installs it: a machine's own name is an address that no other machine can reach.
        known = addresses | {name: "127.0.1.1"}
        lines = ["127.0.0.1 localhost", *(f"{address} {other}" for other, address in known.items())]
        (folder / f"hosts-{name}").write_text("\n".join([*lines, f"{addresses[NAMES[0]]} db", ""]))
    with ExitStack() as stack:
        cards = [stack.enter_context(_card()) for _ in NAMES]
        ends = ["type", "veth", "peer", "name", DEVICE, "netns", str(cards[1])]
        _on(cards[0], "ip", "link", "add", DEVICE, *ends)
        for card, address in zip(cards, addresses.values(), strict=True):
            _on(card, "ip", "address", "add", f"{address}/24", "dev", DEVICE)
            for device in ("lo", DEVICE):
                _on(card, "ip", "link", "set", device, "up")
        for card in cards:
            _on(card, "ip", "route", "add", "default", "dev", DEVICE)
        first, second = (Host(*parts, folder) for parts in zip(NAMES, addresses.values(), cards, strict=True))
        for host in (first, second):
            host.boot()
            stack.callback(_end, host)
        yield first, second


@contextmanager
def _card() -> Iterator[int]:
    """A network of its own, and the process that holds it."""
    with subprocess.Popen([*_WITH_US, "unshare", "--net", *_SLEEP]) as process:
        try:
            until(lambda: b"sleep" in _command(process.pid), 20)
            yield process.pid
        finally:
            process.kill()


def _end(host: Host) -> None:
    with suppress(subprocess.CalledProcessError):
        host.kill()


def typed(text: str) -> str:
    """The block of lines of docs/scale.md that has a text."""
    blocks = (ROOT / "docs" / "scale.md").read_text().split("```")[1::2]
    (found,) = (block for block in blocks if text in block)
    return found


def printed(folder: Path) -> str:
    """The ends of all that commands have printed to files of a folder."""
    return "\n".join(f"{log.name}:\n{log.read_text()[-4000:]}" for log in sorted(folder.glob("*.log")))


def _on(card: int, *command: str) -> None:
    subprocess.run(["nsenter", f"--net=/proc/{card}/ns/net", *command], check=True)


def _command(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0]
    return b""


def until(condition: Callable[[], object], seconds: float) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)

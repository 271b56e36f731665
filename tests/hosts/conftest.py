"""The hosts, for one test after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.network import Host, problem, two_hosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Two hosts that see each other; skipped where this machine cannot have them."""
    if (reason := problem()) is not None:
        pytest.skip(reason)
    folder = tmp_path / "hosts"
    folder.mkdir()
    with two_hosts(folder) as hosts:
        yield hosts

"""Available memory is the least that the system and each container above report."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.training.memory import available_memory, free_disk


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """Two containers, one in the other, on a system with 1 GiB to give."""
    inner = tmp_path / "sys" / "fs" / "cgroup" / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1048576 kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/outer/inner\n")
    return inner


def limit(folder: Path, most: str, used: int, cached: int) -> None:
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\ninactive_file {cached}\nactive_file 3\n")


def test_without_a_limit_it_is_what_the_system_says(tmp_path: Path, group: Path) -> None:
    assert available_memory(root=tmp_path) == 1 << 30
    limit(group, "max", 100, 0)
    assert available_memory(root=tmp_path) == 1 << 30


def test_a_limit_anywhere_above_counts_without_cached_files(tmp_path: Path, group: Path) -> None:
    limit(group.parent, "5000", 3000, 500)
    assert available_memory(root=tmp_path) == 2500
    limit(group, "4000", 3000, 100)
    assert available_memory(root=tmp_path) == 1100
    limit(group, "4000", 5000, 100)
    assert available_memory(root=tmp_path) == 0


def test_it_is_unknown_where_the_system_does_not_say(tmp_path: Path) -> None:
    assert available_memory(root=tmp_path) is None


def test_the_disk_is_that_of_a_folder_that_may_not_be_there(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") == pytest.approx(free_disk(tmp_path), rel=0.1)

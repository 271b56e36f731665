"""Figures are small, documented, and equal each time they are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import figures


def test_every_figure_is_drawn_small_and_explained() -> None:
    readme = (figures.FOLDER / "README.md").read_text()
    assert {path.stem for path in figures.FOLDER.glob("*.svg")} == set(figures.FIGURES)
    for name in figures.FIGURES:
        assert f"({name}.svg)" in readme
        assert (figures.FOLDER / f"{name}.svg").stat().st_size < 150_000


def test_a_figure_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    drawn = []
    for folder in (tmp_path / "docs" / "first", tmp_path / "docs" / "second"):
        figures.main(["quadratics"], folder)
        drawn.append((folder / "quadratics.svg").read_bytes())
    assert drawn[0] == drawn[1]


def test_an_unknown_figure_is_named() -> None:
    with pytest.raises(SystemExit, match="Found landscape"):
        figures.main(["landscape"])

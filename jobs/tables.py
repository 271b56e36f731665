"""Tables that lose no character: names fold where a terminal is narrow, and else each row becomes a block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

# Where a text may fold: after a space, after the parenthesis of `name(`, after a comma that is not inside a number.
_FOLD = re.compile(r"(?<=\s)|(?<=\S\()|(?<=,)(?=\D)")


@dataclass(frozen=True)
class Figures:
    """A table, printed by rich.

    Args:
        columns: The headings. The first column holds names.
        rows: The cells of each row.
        title: The line above it; empty for none.
        notes: Lines below it.
        are_texts: Whether the further columns hold texts, which fold, instead of figures, which never do.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    are_texts: bool = False

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if self.title:
            yield Text(self.title, style="table.title")
        widths = self._widths(options.max_width)
        if widths is None:
            yield from self._blocks(options.max_width)
        else:
            yield self._table(widths)
        for note in self.notes:
            yield Text(note, style="table.caption")

    def _folds(self, column: int) -> bool:
        return column == 0 or self.are_texts

    def _widths(self, available: int) -> list[int] | None:
        """The widths of the columns; None if they do not fit even with folded names."""
        columns = [list(column) for column in zip(*self.rows, strict=True)] or [[] for _ in self.columns]
        widths = [max(map(cell_len, [heading, *cells])) for heading, cells in zip(self.columns, columns, strict=True)]
        least = [
            max(map(cell_len, [*_pieces(heading), *(_pieces(*cells) if self._folds(n) else cells)]))
            for n, (heading, cells) in enumerate(zip(self.columns, columns, strict=True))
        ]
        # Each column has a blank on both sides and a line after it; the table has an edge on both sides.
        left = available - 3 * len(widths) - 1
        if sum(least) > left:
            return None
        while sum(widths) > left:
            # The headings of figures fold first.
            wide = [n for n in range(len(widths)) if widths[n] > least[n]]
            widths[max(wide, key=lambda n: (not self._folds(n), widths[n]))] -= 1
        return widths

    def _table(self, widths: Sequence[int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD)
        for n, (heading, width) in enumerate(zip(self.columns, widths, strict=True)):
            is_left = self._folds(n)
            table.add_column(
                Text(_folded(heading, width)), justify="left" if is_left else "right", width=width, no_wrap=True
            )
        for row in self.rows:
            table.add_row(*(Text(_folded(text, width)) for text, width in zip(row, widths, strict=True)))
        return table

    def _blocks(self, available: int) -> Iterator[Text]:
        """Each row as its name and, below it, a line for each further column."""
        longest = max(map(cell_len, self.columns[1:]), default=0)
        for name, *cells in self.rows:
            yield Text(f"\n{name}")
            for heading, cell in zip(self.columns[1:], cells, strict=True):
                figure = cell.rstrip("\u2007 ")
                gap = " " * (longest - cell_len(heading) + 2)
                fits = longest + cell_len(figure) + 4 <= available
                yield Text(f"  {heading}{gap}{figure}" if fits else f"  {heading}\n    {figure}")
        yield Text()


def _pieces(*texts: str) -> list[str]:
    """The parts of texts that stay whole, without the blanks at their ends."""
    return [piece.rstrip() for text in texts for piece in _FOLD.split(text)]


def _folded(text: str, width: int) -> str:
    """A text in lines of at most a width, if its pieces are."""
    if cell_len(text) <= width:
        return text
    lines = [""]
    for piece in _FOLD.split(text):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)

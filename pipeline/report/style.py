"""The look that all charts of a report share."""

from __future__ import annotations

from html import escape
from textwrap import wrap

import plotly.graph_objects as go

COLOURS = ("#3366aa", "#cc3311", "#228833", "#aa3377", "#ee7733", "#009988", "#997700", "#777777")
_TITLE, _WIDEST = 13, 42  # pixels of a panel's title, and letters of its lines


def colours(number: int) -> list[str]:
    """As many colours as lines; they begin anew after the last one."""
    return [COLOURS[i % len(COLOURS)] for i in range(number)]


def titled(text: str, end: str = "") -> str:
    """The title of a panel: at most two lines, which fit a phone.

    Args:
        text: The title, of any letters.
        end: What stands behind it in any case, as HTML.
    """
    lines = wrap(text, _WIDEST, max_lines=2, placeholder=" …")
    return "<br>".join(map(escape, lines)) + end


def styled(figure: go.Figure, height: int) -> go.Figure:
    """A figure with the margins, the legend and the letters of every chart.

    Args:
        figure: The figure, which is changed.
        height: Its height in pixels.
    """
    return figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 10, "r": 10, "t": 50, "b": 10},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        font={"size": 12},
        hoverlabel={"align": "left"},
    ).update_annotations(font_size=_TITLE)

"""Charts of the AUC of two tasks, with buttons that choose the split."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from pipeline.report.style import styled

SPLITS = {"test": "test", "val": "validation"}


def with_splits(figure: go.Figure, x: str, y: str) -> go.Figure:
    """A figure with the titles of its axes and the buttons.

    Args:
        figure: The figure, which is changed: it has the traces of each split in the order of :data:`SPLITS`, as many of
            each; those of the first are visible.
        x: The task of the horizontal axis.
        y: The task of the vertical axis.
    """
    traces = len(figure.data) // len(SPLITS)
    buttons = [
        {
            "label": f"{name} AUC",
            "method": "restyle",
            "args": ["visible", [shown == split for shown in SPLITS for _ in range(traces)]],
        }
        for split, name in SPLITS.items()
    ]
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "buttons": buttons,
                "x": 0,
                "xanchor": "left",
                "y": 1.03,
                "yanchor": "bottom",
                # The chosen button is nearly white, whatever the page: its letters have to be dark.
                "bgcolor": "#dde3ec",
                "font": {"color": "#222222"},
            }
        ]
    )
    figure.update_xaxes(title_text=f"AUC of {escape(x)}", tickformat=".5f", nticks=4)
    figure.update_yaxes(title_text=f"AUC of {escape(y)}", tickformat=".5f", nticks=7)
    return styled(figure, 420)

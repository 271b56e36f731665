"""A page: one HTML file with everything in it, for any screen and for paper, readable offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from pipeline.files.atomic import atomic


def write_page(template: str, target: Path, **values: Any) -> None:
    """Write a page.

    Names may come from anywhere: the page escapes them.

    Args:
        template: Name of a template in this folder.
        target: The HTML file.
        values: What the template asks for.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    templates.filters["coded"] = coded
    html = templates.get_template(template).render(plotly=get_plotlyjs(), **values)
    with atomic(target) as draft:
        draft.write_text(html)


def coded(sentence: str) -> Markup:
    """A sentence with the names between its backticks as code, everything else of it escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704  # escaped before


def chart(figure: go.Figure, name: str) -> str:
    """A chart as part of a page.

    Args:
        figure: The chart.
        name: Its id in the page.
    """
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    html: str = figure.to_html(config, include_plotlyjs=False, full_html=False, div_id=name)
    return html

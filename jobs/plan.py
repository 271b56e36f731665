"""The plan of a run on several ranks: `gradops plan configs/clicklog.toml --ranks 2`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from jobs.console import AsJson, Config, Overrides, show
from jobs.tables import Figures

if TYPE_CHECKING:
    from pipeline.training.rank_plan import RankPlan

_BITS = {"mbit": 1e6, "gbit": 1e9}
_Ranks = Annotated[int, typer.Option("--ranks", help="Number of ranks.")]
_Bandwidth = Annotated[
    str | None,
    typer.Option(
        "--bandwidth",
        help="Network of each rank's machine, such as 10Gbit.",
        show_default="ranks share this machine, whose exchanges are measured",
    ),
]


def main(
    config: Config, overrides: Overrides, ranks: _Ranks = 2, bandwidth: _Bandwidth = None, as_json: AsJson = False
) -> None:
    """Say what each of several ranks would hold and send, and how long a step would take; nothing is trained."""
    from features.errors import InputError
    from pipeline.data.prepare import Preparation
    from pipeline.training.rank_plan import plan_of
    from pipeline.training.resolve import load_config

    rate = None if bandwidth is None else _bytes_a_second(bandwidth)
    loaded = load_config(config, overrides)
    prepared = Preparation.of(loaded).find()
    if prepared is None:
        raise InputError(f"a plan counts what batches read: run `gradops prepare {config}` first")
    plan = plan_of(loaded, prepared, ranks, rate)
    show(None if as_json else Group(_holds(plan), _sends(plan), Text(plan.sentence)), plan.as_data(), as_json)


def _bytes_a_second(written: str) -> float:
    from features.errors import InputError

    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([mg]bit)(?:/s)?", written.strip().lower())
    if found is None or not float(found[1]):
        raise InputError(f"--bandwidth should be a number of Mbit or Gbit, such as 10Gbit, found `{written}`")
    return float(found[1]) * _BITS[found[2]] / 8


def _holds(plan: RankPlan) -> Figures:
    one = plan.holds
    parts = {"weights": one.weights, "gradients": one.gradients, "optimizer": one.state, "average": one.average}
    parts |= {"copies of the weights": one.copies, "windows of batches": one.reader, "activations": one.step}
    parts |= {"copy for checkpoints": one.staged}
    rows = [[name, f"{number / 1e6:,.1f}"] for name, number in parts.items() if number]
    return Figures(("a rank holds", "MB"), [*rows, ["together", f"{one.memory / 1e6:,.1f}"]])


def _sends(plan: RankPlan) -> Figures:
    rows = [
        [
            one.content,
            one.kind + ("" if one.often == 1 else f" every {1 / one.often:.0f} steps"),
            _megabytes(one.leaving(plan.ranks)),
        ]
        for one in plan.exchanges
    ]
    together = ["together", f"{1000 * plan.exchanging:,.1f} ms", _megabytes(plan.sent)]
    return Figures(("in a step a rank sends", "exchange", "MB"), [*rows, together])


def _megabytes(number: float) -> str:
    return f"{number / 1e6:,.3f}"

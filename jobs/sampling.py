"""The options of a sample of scored rows, which `gradops serve` and `gradops score` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Sample = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for a sample of the scored rows as the model reads them, for `gradops skew`.",
        show_default="no sample",
    ),
]
_SHARE, _MEGABYTES = "Share of the rows that is sampled.", "Largest size of the sample; the oldest rows are removed."
Share = Annotated[float, typer.Option(help=_SHARE, min=1e-6, max=1.0)]
Megabytes = Annotated[int, typer.Option("--sample-megabytes", help=_MEGABYTES, min=1)]
SHARE, MEGABYTES = 0.01, 256

"""Scoring of Parquet files: `gradops score --model models:/census@champion data/census/test.parquet scores`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from jobs.console import MODEL_HELP, AsJson, Bars, announced, err, file_notes, show
from jobs.sampling import MEGABYTES, SHARE, Megabytes, Sample, Share
from jobs.table_precision import Tables, tables_notes
from models.embedding.precisions import FLOAT32

if TYPE_CHECKING:
    from pipeline.serving.sample.parts import PartSample

_Model = Annotated[str, typer.Option(help=MODEL_HELP, show_default=False, callback=announced("model"))]
_Keep = Annotated[
    str | None,
    typer.Option(
        help="Input columns to write next to the scores, separated by commas; empty for none.",
        show_default="all but numbers, times and lists that the model reads",
    ),
]


def main(
    source: Annotated[str, typer.Argument(metavar="IN", help="Parquet file, folder or glob.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the scores.", show_default=False)],
    model: _Model,
    keep: _Keep = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove other scores in OUT first.")] = False,
    sample: Sample = None,
    share: Share = SHARE,
    sample_megabytes: Megabytes = MEGABYTES,
    tables: Tables = FLOAT32,
    as_json: AsJson = False,
) -> None:
    """Score Parquet files with a registered model; after an interruption the same command writes the missing parts."""
    from pipeline.data.notes import feature_notes
    from pipeline.registry.packaging import fetched
    from pipeline.serving.batch import Scoring
    from pipeline.serving.sample.parts import PartSample
    from pipeline.serving.scorer import Scorer
    from pipeline.tracking.connection import require_store

    kept = None if keep is None else [name.strip() for name in keep.split(",") if name.strip()]
    with require_store("nothing is scored; give the command again once it is back"), fetched(model) as folder:
        scorer = Scorer.load(folder, tables)
    sampled = None if sample is None else PartSample(sample, share, sample_megabytes << 20)
    with _Shown() as shown:
        summary = Scoring.of(scorer, source, out, kept, sampled).run(shown, overwrite=overwrite)
    found = f", {summary['found_done']} of them found done" if summary["found_done"] else ""
    text = f"{out}: {summary['rows']} rows in {summary['parts']} part(s){found}, tasks {', '.join(summary['tasks'])}"
    text += f", scores {', '.join(summary['outputs'])}" if "outputs" in summary else ""
    notes = tables_notes(scorer, tables)
    notes += feature_notes({name: {"the rows": found} for name, found in summary["features"].items()})
    notes += file_notes(summary["left_out"], summary["widened"])
    if sampled is not None:
        notes += _sample_notes(sampled, sample, summary["found_done"])
        summary |= {"sample": {"folder": sample, "rows": sampled.rows, "dropped": sampled.dropped}}
    show("\n".join([text, *notes]), summary | {"out": out, "model": model}, as_json)


def _sample_notes(sampled: PartSample, folder: Path | None, found_done: int) -> Iterator[str]:
    lost = f", {sampled.dropped} could not be written" if sampled.dropped else ""
    yield f"{sampled.rows} rows were sampled to {folder}{lost}"
    if found_done:
        yield f"{found_done} part(s) that were found done are not sampled; --overwrite scores them again"


class _Shown(Bars):
    """A progress bar on a terminal, or a line a part elsewhere. A :class:`pipeline.serving.batch.ScoringCallback`."""

    def __init__(self) -> None:
        columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns)
        self._bar = self._bars.add_task("rows", total=None)
        self._total, self._done = 0, 0

    def on_start(self, rows: int, done: int) -> None:
        """Set the number of rows, and of those scored before."""
        self._total = rows
        self._bars.update(self._bar, total=rows)
        self.on_part(done)

    def on_part(self, rows: int) -> None:
        """Move the bar, or print a line."""
        self._done += rows
        self._bars.advance(self._bar, rows)
        if rows and not err.is_terminal:
            err.print(f"{self._done} of {self._total} rows", highlight=False)

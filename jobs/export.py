"""A model for onnxruntime: `gradops export models:/census@champion --onnx census`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from jobs.console import AsJson, Model, show
from jobs.table_precision import Tables, tables_notes
from models.embedding.precisions import FLOAT32

_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def main(
    model: Model,
    onnx: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to make.", show_default=False)],
    tables: Tables = FLOAT32,
    as_json: AsJson = False,
) -> None:
    """Write a registered model as an ONNX graph, with its encoder and a client that needs neither torch nor Polars."""
    from features.errors import InputError

    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise InputError(f"an export needs the package(s) {', '.join(missing)}; install the extra: gradops[onnx]")
    from pipeline.registry.packaging import fetched
    from pipeline.serving.export.exported import FROM_FLOAT32, export
    from pipeline.serving.scorer import Scorer
    from pipeline.tracking.connection import require_store

    with require_store("nothing is exported; give the command again once it is back"), fetched(model) as folder:
        scorer = Scorer.load(folder, tables)
        about = export(scorer, onnx, None if scorer.tables in (None, FLOAT32) else Scorer.load(folder))
    text = f"{onnx}: {model} for onnxruntime, outputs {', '.join(about['outputs'])}; probabilities differ by at most"
    text += f" {about['largest_difference']:.1g}"
    if (difference := about.get(FROM_FLOAT32)) is not None:
        text += f" from the model's with {scorer.tables} tables, and these by at most {difference:.1g} from float32's"
    lines = [text, *tables_notes(scorer, tables)]
    show("\n".join(lines), about | {"model": model, "folder": str(onnx)}, as_json)

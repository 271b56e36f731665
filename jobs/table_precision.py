"""The option `--tables` of the commands that score, and the sentence about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from models.embedding.precisions import FLOAT32, Precision

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer

Tables = Annotated[
    Precision,
    typer.Option(
        help="Precision of the embedding tables: bfloat16 takes half the memory of float32, int8 a quarter to a third."
    ),
]


def tables_notes(scorer: Scorer, asked: Precision) -> list[str]:
    """A sentence on the precision of a model's embedding tables, unless it is the usual one.

    Args:
        scorer: The model.
        asked: The precision that the command was given.
    """
    if asked == FLOAT32:
        return []
    if scorer.tables is None:
        return [f"the model has no embedding tables, so --tables {asked} changes nothing"]
    return [f"embedding tables in {scorer.tables}: {scorer.table_bytes / 1e6:.3g} MB; scores differ from float32's"]

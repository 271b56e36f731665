"""The rows that a model is explained on: raw validation rows, encoded as the model reads them, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import GROUP, ID, LABEL, VALUE, WEIGHT
from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.data.raw_rows import labels_and_groups, raw_rows
from pipeline.data.windows import Window
from pipeline.evaluation.intervals import Floats
from pipeline.evaluation.sample import sample_mask, sampling_step, sampling_units
from pipeline.explanation.units import Unit
from pipeline.serving.scorer import Scorer

SPLIT = "val"

Order = npt.NDArray[np.integer]


@dataclass(frozen=True)
class ExplainedRows:
    """Rows of a model that is explained.

    Args:
        scorer: The model.
        raw: The columns that it reads, in the types that it reads.
        encoded: The same rows encoded.
        labels_NT: 0, 1, or NaN where unknown, in the order of the model's tasks.
        unit_N: Number of each row's unit, such as its user; None where the spec has no group.
        share: Share of the validation rows that they are.
    """

    scorer: Scorer
    raw: pl.DataFrame
    encoded: pl.DataFrame
    labels_NT: npt.NDArray[np.float32]
    unit_N: npt.NDArray[np.int64] | None
    share: float

    @classmethod
    def read(cls, config: RunConfig, prepared: Prepared, scorer: Scorer, limit: int) -> ExplainedRows:
        """Read the validation rows from the raw files.

        Args:
            config: The config, which names the raw files.
            prepared: The data that was prepared from them.
            scorer: The model.
            limit: The largest number of rows that is used without sampling.

        Raises:
            InputError: If the config lacks a task of the model, files are missing or have changed, or rows cannot be
                scored.
        """
        encoder = prepared.encoder()
        if missing := [task for task in scorer.tasks if task not in encoder.spec.tasks]:
            subject = f"the config `{config.name}` has no labels of tasks of the model; give the model's own config"
            raise InputError.of(subject, [f"`{task}`" for task in missing])
        step, start = sampling_step(prepared.rows[SPLIT], limit), 0
        kept: list[tuple[pl.DataFrame, pl.DataFrame]] = []
        for rows in raw_rows(config, prepared, SPLIT, tuple(scorer.encoder.dtypes)):
            metadata = labels_and_groups(encoder, rows)
            taken = sample_mask(metadata, step, GROUP, first=start)
            start += rows.height
            kept.append((rows.select(*scorer.encoder.dtypes).filter(taken), metadata.filter(taken)))
        raw, metadata = (pl.concat(frames, how="vertical_relaxed") for frames in zip(*kept, strict=True))
        if not raw.height:
            raise InputError(f"the sample of the {start} validation rows is empty; raise --rows")
        known, encoded = scorer.rows.encoded(raw)
        labels = metadata.select(pl.col(LABEL + task).cast(pl.Float32).fill_null(float("nan")) for task in scorer.tasks)
        units = sampling_units(metadata, GROUP)
        return cls(scorer, known, encoded, labels.to_numpy(), units, raw.height / start)

    def __len__(self) -> int:
        return self.raw.height

    def every(self, step: int) -> ExplainedRows:
        """Every n-th of the rows."""
        units = None if self.unit_N is None else self.unit_N[::step]
        raw, encoded = (frame.gather_every(step) for frame in (self.raw, self.encoded))
        return replace(
            self, raw=raw, encoded=encoded, labels_NT=self.labels_NT[::step], unit_N=units, share=self.share / step
        )

    def score_NT(self, encoded: pl.DataFrame) -> Floats:
        """The model's probabilities of encoded rows, for its tasks."""
        window = Window.of(encoded, self.scorer.encoder.spec, ())
        return self.scorer.probability_NO(window)[:, : len(self.scorer.tasks)]

    def permuted(self, unit: Unit, order_N: Order) -> pl.DataFrame:
        """The rows encoded, with the values of a unit in another order.

        Raw columns are permuted before they are encoded, so that a cross of them and of others is of the new pairs.
        """
        if unit.kind == "feature":
            (name,) = unit.features
            moved = [c for c in (ID + name, WEIGHT + name, VALUE + name) if c in self.encoded.columns]
            return self.encoded.with_columns(self.encoded.select(moved)[order_N])
        return self.changed(self.raw.with_columns(self.raw.select(unit.columns)[order_N]), unit.features)

    def changed(self, raw: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        """The rows encoded after columns have changed; only these features, which read them, are encoded again."""
        dtypes, expressions = self.scorer.encoder.steps(raw.schema)
        names = {kind + name for name in features for kind in (ID, WEIGHT, VALUE)}
        again = [expression for expression in expressions if expression.meta.output_name() in names]
        plan = pl.QueryOptFlags(comm_subexpr_elim=False)
        new = raw.lazy().cast(dtypes).select(again).collect(engine="in-memory", optimizations=plan)
        return self.encoded.with_columns(new)

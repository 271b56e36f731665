"""The section ``[train]``: one training run."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, PositiveInt, ValidationInfo, field_validator, model_validator

from features.declared import Declared
from models.table_optimizers.names import NAMES, choices
from pipeline.config.names import known_methods

# As :data:`gradops.gram_estimator.Measure`, whose module needs torch; a test holds the two equal.
Measure = Literal["parameters", "features"]
MethodText = Annotated[str, Field(description="A method as `gradops.methods.parse` reads it.")]


class TrainConfig(Declared):
    """One training run.

    Args:
        method: How task gradients are combined, as ``"gradops(alpha=-2)"``.
        measure: Where conflict is measured; see :class:`gradops.GramEstimator`.
        gram_share: Share of a batch's rows that conflict is measured on; below 1 an approximation.
        gram_every: Steps between two measurements of conflict; above 1 an approximation.
        tasks: The tasks trained together; empty for all.
        epochs: Most passes over the training rows.
        max_steps: Stop after this many steps, wherever they end; 0 for no limit.
        batch_size: Rows a step.
        micro_batch: Rows that go through the network at a time, for the memory of large batches; 0 for all of a step's.
            The step is that of the whole batch.
        precision: Of the network's products while it trains; weights, gradients, Gram matrices and methods keep theirs.
        shuffle_shards: Stretches of a window of rows (:mod:`pipeline.data.batches`), each shuffled by itself, so that
            ranks need not read each other's rows: as many as the most ranks that are ever to share the run. Its former
            name ``lanes`` is accepted.
        lr: Adam's learning rate; the highest of a one-cycle schedule.
        schedule: ``"constant"``, or ``"one_cycle"`` (a fifth of the steps up, then down to 0 along a cosine).
        patience: Epochs without a better mean validation AUC before stopping; 0 to never stop early.
        clip_norm: Longest gradient of all dense and table parameters together; 0 for no clipping.
        table_optimizer: What steps the embedding tables, by its name in :mod:`models.table_optimizers.names`; Adam
            steps the rest of the network.
        table_kernel: How tables are held: ``"plain"``, stepped from their gradients, or ``"fused"``, stepped inside the
            backward pass; :mod:`models.table_optimizers.names` says which optimizers go with it. Nothing is clipped
            then.
        table_lr: The tables' rate, under the same schedule; 0 for ``lr``.
        start_from: Fingerprint of the finished run whose weights it starts from, its data an ancestor of this run's;
            empty for a start from the seed.
        seed: Of initialisation, batch order, dropout and the method's own randomness.
        diagnose_every: Steps between two records of cosines, norms and weights.
        checkpoint_every: Steps between two checkpoints, and so the most that a killed process loses; 0 for one at the
            end of each epoch. No part of a run's identity.
        keep_checkpoints: How many of a run's newest checkpoints are kept while it trains. No part of its identity.
        threads: CPU threads; part of a run's identity, since sums in another order round differently.
        device: torch device.
    """

    method: MethodText = "uniform"
    measure: Measure = "parameters"
    gram_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    gram_every: PositiveInt = 1
    tasks: tuple[str, ...] = ()
    epochs: PositiveInt = 10
    max_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: PositiveInt = 1024
    micro_batch: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    shuffle_shards: Annotated[PositiveInt, Field(validation_alias=AliasChoices("shuffle_shards", "lanes"))] = 1
    lr: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "one_cycle"] = "constant"
    patience: Annotated[int, Field(ge=0)] = 0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    table_optimizer: str = "adam"
    table_kernel: Literal["plain", "fused"] = "plain"
    table_lr: Annotated[float, Field(ge=0)] = 0.0
    start_from: Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")] = ""
    seed: Annotated[int, Field(ge=0)] = 0
    diagnose_every: PositiveInt = 50
    checkpoint_every: Annotated[int, Field(ge=0)] = 1000
    keep_checkpoints: PositiveInt = 2
    threads: PositiveInt = 1
    device: str = "cpu"

    @field_validator("method")
    @classmethod
    def _is_method(cls, text: str, info: ValidationInfo) -> str:
        return known_methods((text,), info)[0]

    @field_validator("table_optimizer")
    @classmethod
    def _is_table_optimizer(cls, name: str) -> str:
        if name not in NAMES:
            near = get_close_matches(name, NAMES, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            raise ValueError(f"{hint}a table optimizer is one of {', '.join(NAMES)}")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.measure == "features" and (self.gram_share < 1 or self.gram_every > 1):
            raise ValueError('train.gram_share and train.gram_every save nothing with measure "features"; leave them 1')
        if self.micro_batch and self.gram_share < 1:
            raise ValueError("train.micro_batch and train.gram_share exclude each other: a share is of one pass")
        return self

    @model_validator(mode="after")
    def _fits_its_kernel(self) -> TrainConfig:
        if self.table_kernel == "plain":
            return self
        problems, possible = [], choices(self.table_kernel, self.device)
        if self.table_optimizer not in possible:
            names = ", ".join(f'"{name}"' for name in possible) or "none"
            problems.append(
                f'table_kernel "fused" steps tables by a rule that fbgemm has on device "{self.device}", found '
                f'table_optimizer "{self.table_optimizer}"; possible there: {names}; with table_kernel "plain": all'
            )
        if self.clip_norm:
            problems.append(
                'table_kernel "fused" steps tables before the length of the gradient is known, found clip_norm '
                f'{self.clip_norm:g}; possible: clip_norm 0, or table_kernel "plain"'
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

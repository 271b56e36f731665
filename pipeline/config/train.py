"""The section ``[train]``: one training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, PositiveInt, ValidationInfo, field_validator, model_validator

from features.declared import Declared
from models.table_optimizers.names import NAMES, choices
from pipeline.config.ids import IdsConfig
from pipeline.config.names import known_methods, known_name
from pipeline.evaluation.selection import Selection

# Equal to :data:`gradops.gram_estimator.Measure`, whose module needs torch; a test compares the two.
Measure = Literal["parameters", "features"]
MethodText = Annotated[str, Field(description="A method as `gradops.methods.parse` reads it.")]


class TrainConfig(Declared):
    """One training run.

    Args:
        method: The method that combines task gradients, such as ``"gradops(alpha=-2)"``.
        measure: The place where conflict is measured; see :class:`gradops.GramEstimator`.
        gram_share: Share of a batch's rows on which conflict is measured; below 1 it is an approximation.
        gram_every: Number of steps between two measurements of conflict; above 1 it is an approximation.
        gram_smoothing: Decay of a moving average of the measurements; above 0 it is an approximation.
        tasks: The tasks trained together; empty for all.
        epochs: Largest number of passes over the training rows.
        max_steps: Largest number of steps, even within an epoch; 0 for no limit.
        batch_size: Number of rows a step.
        micro_batch: Number of rows that go through the network at a time, to save memory with large batches; 0 for all
            rows of a step. The step is that of the whole batch.
        precision: Precision of the network's products in training; weights, gradients and Gram matrices stay in float32
            or float64. ``"tf32"`` is for CUDA devices.
        shuffle_shards: Number of separately shuffled stretches of a window of rows (:mod:`pipeline.data.batches`). With
            as many as the largest number of ranks that will ever share the run, ranks need not read each other's
            rows. The former name ``lanes`` is accepted.
        lr: Adam's learning rate; under a one-cycle schedule the highest rate.
        schedule: ``"constant"``, ``"one_cycle"`` (a fifth of the steps up, then down to 0 along a cosine), or
            ``"warmup"`` (a straight line up over the first twentieth of the steps, then constant).
        task_weights: Factors of the tasks' losses by their training prevalence, on top of each task's own weight;
            see :mod:`pipeline.training.task_weights`.
        prior_bias: Whether each task's output layer starts at the log-odds of its training prevalence, instead of at a
            probability near one half; see :meth:`models.architectures.base.Architecture.start_at`.
        keep_negatives: Share of the training rows without a positive label that are trained on, drawn by the seed;
            probabilities stay those of all rows, see :class:`pipeline.training.negatives.NegativeSampling`. Validation
            and test always have all rows.
        calibration: Kind of calibrator that is fitted to each task's validation rows after training and is part of the
            run: ``"none"``, ``"platt"`` or ``"isotonic"``; see :mod:`pipeline.evaluation.calibration`.
        select_by: The validation metric that the best epoch has, by its name in
            :mod:`pipeline.evaluation.catalogue`: the mean over the tasks, as ``"auc"``, or a task's own, as
            ``"logloss.purchase"``. A single-task model is chosen by the same metric of its own task.
        patience: Number of epochs without a better ``select_by`` before an early stop; 0 for no early stop.
        task_patience: Number of epochs without a better ``select_by`` of a task's own before the task leaves the
            training; 0 for never. See :class:`pipeline.training.task_epochs.TaskEpochs`.
        task_snapshots: Whether each task is served with the weights after its own best epoch: the model is then a few
            networks of one run.
        weight_decay: Decay of the network's matrices: in each step they shrink by this share of the rate, whatever
            the gradient (AdamW). Biases and tables never decay; 0 for no decay.
        decay_schedule: Course of ``weight_decay`` over the steps: ``"constant"``, or ``"flat_cosine"`` (unchanged for
            half of the steps, then down to 0 along a cosine); see :mod:`pipeline.training.schedules`.
        dropout_schedule: Course of the architecture's ``dropout``, likewise.
        ema: Decay in a step of the exponential moving average of the weights, which validation, the best epoch, the
            file of weights and serving use in place of the last ones; see
            :class:`pipeline.training.weight_average.WeightAverage`. 0 for no average.
        clip_norm: Largest norm of the gradient of all dense and table parameters together; 0 for no clipping.
        table_optimizer: The optimizer of the embedding tables, by name (:mod:`models.table_optimizers.names`); Adam
            steps the rest of the network.
        table_kernel: The kernel of the tables: ``"plain"`` steps them from their gradients, ``"fused"`` inside the
            backward pass, without clipping; :mod:`models.table_optimizers.names` lists the optimizers of each.
        table_lr: The tables' rate, under the same schedule; 0 for ``lr``.
        ids: Table to its ids that the run reads as out of vocabulary; see :mod:`pipeline.config.ids`.
        start_from: Fingerprint of the finished run that gives the initial weights; its data must be an ancestor of this
            run's data. Empty for a start from the seed.
        seed: Seed of initialisation, batch order, dropout and the method's own randomness.
        diagnose_every: Number of steps between two records of cosines, norms and weights.
        checkpoint_every: Number of steps between two checkpoints, which bounds the loss when a process is killed; 0 for
            one at the end of each epoch. It is no part of a run's identity.
        keep_checkpoints: Number of a run's newest checkpoints kept while it trains. It is no part of a run's identity.
        async_checkpoints: Whether checkpoints are written behind the next steps, from a copy of the state in memory;
            otherwise the run waits until each is written. It is no part of a run's identity.
        threads: Number of CPU threads; part of a run's identity, since sums in another order round differently.
        device: torch device.
    """

    method: MethodText = "uniform"
    measure: Measure = "parameters"
    gram_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    gram_every: PositiveInt = 1
    gram_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    tasks: tuple[str, ...] = ()
    epochs: PositiveInt = 10
    max_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: PositiveInt = 1024
    micro_batch: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    shuffle_shards: Annotated[PositiveInt, Field(validation_alias=AliasChoices("shuffle_shards", "lanes"))] = 1
    lr: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "one_cycle", "warmup"] = "constant"
    task_weights: Literal["equal", "inverse_rate", "sqrt_inverse_rate", "inverse_entropy"] = "equal"
    prior_bias: bool = True
    keep_negatives: Annotated[float, Field(gt=0, le=1)] = 1.0
    calibration: Literal["none", "platt", "isotonic"] = "none"
    select_by: str = "auc"
    patience: Annotated[int, Field(ge=0)] = 0
    task_patience: Annotated[int, Field(ge=0)] = 0
    task_snapshots: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay_schedule: Literal["constant", "flat_cosine"] = "constant"
    dropout_schedule: Literal["constant", "flat_cosine"] = "constant"
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    table_optimizer: str = "adam"
    table_kernel: Literal["plain", "fused"] = "plain"
    table_lr: Annotated[float, Field(ge=0)] = 0.0
    ids: Mapping[str, IdsConfig] = Field(default_factory=dict)
    start_from: Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")] = ""
    seed: Annotated[int, Field(ge=0)] = 0
    diagnose_every: PositiveInt = 50
    checkpoint_every: Annotated[int, Field(ge=0)] = 1000
    keep_checkpoints: PositiveInt = 2
    async_checkpoints: bool = True
    threads: PositiveInt = 1
    device: str = "cpu"

    @field_validator("method")
    @classmethod
    def _is_method(cls, text: str, info: ValidationInfo) -> str:
        return known_methods((text,), info)[0]

    @field_validator("select_by")
    @classmethod
    def _is_selection(cls, text: str) -> str:
        return Selection.parse(text).text

    @field_validator("table_optimizer")
    @classmethod
    def _is_table_optimizer(cls, name: str) -> str:
        return known_name(name, NAMES, "a table optimizer")

    @property
    def selection(self) -> Selection:
        """The metric that ``select_by`` names."""
        return Selection.parse(self.select_by)

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.measure == "features" and (self.gram_share < 1 or self.gram_every > 1):
            raise ValueError('train.gram_share and train.gram_every save nothing with measure "features"; leave them 1')
        if self.decay_schedule != "constant" and not self.weight_decay:
            raise ValueError(
                'train.decay_schedule changes train.weight_decay, which is 0: give it, or leave "constant"'
            )
        if self.precision == "tf32" and not self.device.startswith("cuda"):
            raise ValueError(
                f'train.precision "tf32" is of products on CUDA, found train.device "{self.device}": '
                'leave "float32", or set "bfloat16"'
            )
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

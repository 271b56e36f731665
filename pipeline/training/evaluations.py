"""Evaluates the network's present weights on a split of any size, batch by batch, on all ranks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradops.group import Group, gathered
from models.architectures.base import Architecture
from pipeline.data.batches import Batches
from pipeline.data.windows import Batch
from pipeline.evaluation.calibration import Isotonic, Platt, calibrated
from pipeline.evaluation.calibration_fit import fit_calibrators
from pipeline.evaluation.metrics import LIMIT, Evaluator
from pipeline.evaluation.sample import sampling_step
from pipeline.runs.run import Metrics
from pipeline.training.known_ids import KnownIds

Calibrators = Sequence[Platt | Isotonic]


@dataclass(frozen=True)
class Evaluations:
    """Evaluates a network.

    Args:
        model: The network.
        tasks: The names of the tasks.
        splits: The batches of each split.
        ids: The ids that the run knows.
        device: The model's device.
        group: The ranks that evaluate together.
        agree: Called on every rank after each batch and before calibrators are fitted, with whether an output is no
            number there; it may raise.
    """

    model: Architecture
    tasks: Sequence[str]
    splits: Mapping[str, Batches]
    ids: KnownIds
    device: torch.device
    group: Group
    agree: Callable[[bool], None]

    def metrics(
        self, split: str, versions: Sequence[Calibrators], on_step: Callable[[], None] = lambda: None
    ) -> list[Metrics]:
        """Metrics of several versions of the network's probabilities, in one pass over a split.

        Args:
            split: The split.
            versions: For each version, the tasks' calibrators; an empty one for the probabilities as they are.
            on_step: Called after each batch.
        """
        evaluators = [Evaluator(self.tasks) for _ in versions]
        for logits_BT, batch in self._outputs(split, on_step):
            group_B = None if batch.group_B is None else self._everybodys(batch.group_B)
            labels_BT = self._everybodys(batch.labels_BT)
            for evaluator, calibrators in zip(evaluators, versions, strict=True):
                every_BT = self._everybodys(logits_BT if calibrators else logits_BT.sigmoid())
                evaluator.update(labels_BT, calibrated(every_BT, calibrators) if calibrators else every_BT, group_B)
        return [evaluator.result() for evaluator in evaluators]

    def calibrators(self, kind: str, on_step: Callable[[], None] = lambda: None) -> list[Platt | Isotonic]:
        """The calibrator of each task, fitted to the present weights on validation rows; none without calibration.

        Of more than five million rows, every n-th is used.

        Args:
            kind: As ``train.calibration``.
            on_step: Called after each batch.
        """
        if kind == "none":
            return []
        step, first, pairs = sampling_step(self.splits["val"].rows, LIMIT), 0, []
        for logits_BT, batch in self._outputs("val", on_step):
            both = self._everybodys(logits_BT), self._everybodys(batch.labels_BT)
            pairs.append([part[-first % step :: step] for part in both])
            first += len(both[0])
        logit_NT, labels_NT = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        self.agree(not np.isfinite(logit_NT).all())
        return fit_calibrators(kind, logit_NT, labels_NT)

    def _outputs(self, split: str, on_step: Callable[[], None]) -> Iterator[tuple[Tensor, Batch]]:
        """This rank's rows of a split in order, batch by batch, with their logits."""
        self.model.eval()
        for batch in self.splits[split].in_order():
            read = replace(batch, bags=self.ids.known(batch.bags)).to(self.device)
            with torch.no_grad():
                logits_BT: Tensor = self.model(read.bags, read.value_BV)
            self.agree(bool(logits_BT.isnan().any()))
            yield logits_BT, batch
            on_step()

    def _everybodys(self, part_B: Tensor) -> npt.NDArray[Any]:
        """The rows of all ranks."""
        if self.group.size == 1:
            return part_B.cpu().numpy()
        return gathered(part_B.to(self.device), 0, self.group)[0].cpu().numpy()

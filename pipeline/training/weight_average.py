"""The exponential moving average of a network's weights, which evaluation and serving use in place of the last ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.architectures.base import Architecture
from models.embedding.cut import Bags
from models.embedding.row_average import RowAverage
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from pipeline.config.train import TrainConfig


class WeightAverage:
    r"""The average of the weights after each step so far; each later step multiplies the share of a step by ``ema``.

    After step t it is :math:`(1 - b) \sum_{s \le t} b^{t-s} w_s / (1 - b^t)`. The divisor makes the factors add up to 1
    from the first step on, as in Adam (Kingma and Ba, ICLR 2015, section 3): the initial weights, which no step has
    seen, have no part in it, and a short run needs no warm-up of the decay. torch's ``AveragedModel`` starts at the
    weights after the first step instead, which keep a factor of :math:`b^{t-1}`.

    Weights that every step moves are averaged at every step. Tables whose optimizer moves only the rows that a step
    reads are averaged there, exactly, at a cost that follows the batch (:mod:`models.embedding.row_average`).

    Args:
        model: The network, on its device.
        config: The section ``[train]``; without ``ema`` there is no average, and every method does nothing.
    """

    def __init__(self, model: Architecture, config: TrainConfig) -> None:
        self._decay, self._step, self._kept = config.ema, 0, list[Tensor]()
        is_by_row = bool(self._decay) and TABLE_OPTIMIZERS[config.table_optimizer] is not None
        tables = {id(table) for table in model.embedding.tables()} if is_by_row else set()
        named = model.named_parameters() if self._decay else ()
        self._weights = {name: p.detach() for name, p in named if id(p) not in tables}
        self._averages = {name: value.clone() for name, value in self._weights.items()}
        self._rows = RowAverage(model.embedding, self._decay) if is_by_row else None
        self._bags_of_tables = model.bags_of_tables
        self._is_used = False

    def before(self, bags: Bags) -> None:
        """Prepare for a step on a batch; among ranks, all take part."""
        if self._rows is not None:
            self._rows.before(self._bags_of_tables(bags))

    def after(self) -> None:
        """Add the weights after a step."""
        self._step += 1
        if self._weights:
            share = (1 - self._decay) / (1 - self._decay**self._step)
            torch._foreach_lerp_([*self._averages.values()], [*self._weights.values()], share)
        if self._rows is not None:
            self._rows.after(self._step)

    def hold(self, values: Mapping[str, Tensor]) -> None:
        """Let the averages of weights that move no more be these values; ``values`` are the weights themselves."""
        for name, value in values.items():
            if name in self._averages:
                self._averages[name].copy_(value)

    @contextmanager
    def used(self) -> Iterator[None]:
        """The network has the averages while the block runs, and its own weights afterwards, to the bit."""
        self._use()
        try:
            yield
        finally:
            self.put_back()

    def around(self, call: Callable[[], None]) -> None:
        """Call something that may put the weights back in the middle of :meth:`used`; then use the averages again."""
        was_used = self._is_used
        call()
        if was_used:
            self._use()

    def _use(self) -> None:
        if not self._decay or self._is_used:
            return
        rows = [] if self._rows is None else self._rows.weights
        self._kept = [value.clone() for value in (*self._weights.values(), *rows)]
        for value, average in zip(self._weights.values(), self._averages.values(), strict=True):
            value.copy_(average)
        if self._rows is not None:
            self._rows.add(self._step)
        self._is_used = True

    def put_back(self) -> None:
        """Give the network its own weights; nothing happens if it has them."""
        if self._is_used:
            rows = [] if self._rows is None else self._rows.weights
            for value, kept in zip((*self._weights.values(), *rows), self._kept, strict=True):
                value.copy_(kept)
            self._kept, self._is_used = [], False

    def state_dict(self) -> dict[str, Any]:
        """Everything that the average depends on; tables are spread over ranks like the model's."""
        if not self._decay:
            return {}
        rows = None if self._rows is None else self._rows.state_dict()
        return {"step": self._step, "averages": dict(self._averages), "rows": rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of :meth:`state_dict`, so that every later average is the one that would have been."""
        if not self._decay:
            return
        self._step = state["step"]
        for name, average in self._averages.items():
            average.copy_(state["averages"][name])
        if self._rows is not None:
            self._rows.load_state_dict(state["rows"])

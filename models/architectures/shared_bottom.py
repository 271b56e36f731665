"""Towers on a shared bottom, over any embedding front. Plain torch: the same module trains and serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from features.errors import InputError
from models.embedding.base import Embedding
from models.embedding.cut import Bags, TableCut


class HeadTransform(Protocol):
    """A linear map of the shared representation for each tower to read through; a module, so that it is saved too."""

    def __call__(self, views: Sequence[Tensor]) -> list[Tensor]:
        """What each of T towers reads, from T views B x D of the shared representation."""

    def matrix_TDD(self) -> Tensor:
        """The maps: tower k reads ``matrix_k @ z``."""


@dataclass(frozen=True)
class Trace:
    """A forward pass with the tensors that gradient surgery needs.

    Args:
        logits_BT: One logit a row and task.
        views: The shared representation B x D, once for each of the T towers, before their transforms.
        cut: The cut at the output of the embedding tables.
    """

    logits_BT: Tensor
    views: tuple[Tensor, ...]
    cut: TableCut


class SharedBottom(nn.Module):
    """Embeddings and numeric values, a shared multi-layer perceptron, one tower a task.

    The defaults are the network of the GradOPS paper on Census-income: two ReLU layers of 192 units, dropout 0.3.

    Args:
        embedding: TorchRec's (:mod:`models.embedding.torchrec`) to train, the plain one
            (:mod:`models.embedding.portable`) to serve.
        values: Number of numeric values beside the embeddings.
        tasks: Number of tasks, T.
        bottom: Units of each shared layer, each followed by ReLU and dropout.
        tower: Units of each hidden layer of a tower; empty for one linear layer.
        dropout: Probability of dropping a unit of the shared layers while training, in [0, 1).
        head_transform: Module through which the towers read the shared representation; None for none.
    """

    head_transform: HeadTransform | None

    def __init__(
        self,
        embedding: Embedding,
        *,
        values: int,
        tasks: int,
        bottom: Sequence[int] = (192, 192),
        tower: Sequence[int] = (),
        dropout: float = 0.3,
        head_transform: HeadTransform | None = None,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        width = sum(embedding.layout.widths) + values
        self.bottom = _layers(width, bottom, dropout)
        self.head_transform = head_transform
        shared = bottom[-1] if bottom else width
        towers = (nn.Sequential(_layers(shared, tower, 0.0), nn.Linear([shared, *tower][-1], 1)) for _ in range(tasks))
        self.towers = nn.ModuleList(towers)

    def forward(self, bags: Bags, value_BV: Tensor) -> Tensor:
        """Logits B x T, with the tables in the graph."""
        shared_BD = self.bottom(torch.cat([self.embedding(bags), value_BV], dim=1))
        return self._logits((shared_BD,) * len(self.towers))

    def trace(self, bags: Bags, value_BV: Tensor) -> Trace:
        """The same pass, cut at the tables' output."""
        cut = self.cut(bags)
        logits_BT, views = self.through(cut.leaf_BE, value_BV)
        return Trace(logits_BT, views, cut)

    def cut(self, bags: Bags) -> TableCut:
        """The first half of the pass: what the tables hold of a batch."""
        return self.embedding.cut(bags)

    def through(self, pooled_BE: Tensor, value_BV: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The second half, for any rows of it: logits B x T, and the T views that the towers read."""
        shared_BD = self.bottom(torch.cat([pooled_BE, value_BV], dim=1))
        views = tuple(shared_BD.view_as(shared_BD) for _ in self.towers)
        return self._logits(views), views

    def shared_parameters(self) -> list[nn.Parameter]:
        """The dense parameters that every task shares."""
        return list(self.bottom.parameters())

    def network_parameters(self) -> list[nn.Parameter]:
        """Every parameter but those of the head transform, which learns in its own way."""
        return [p for name, p in self.named_parameters() if not name.startswith("head_transform.")]

    @torch.no_grad()
    def plain_state(self) -> dict[str, Tensor]:
        """The weights of the same function without a head transform: it is folded into each tower's first layer.

        Of ranks that share the tables the first gets them whole, and all take part.
        """
        elsewhere = ("head_transform.", "embedding.")
        state = {f"embedding.{name}": value for name, value in self.embedding.whole_state().items()}
        state |= {name: value for name, value in self.state_dict().items() if not name.startswith(elsewhere)}
        for name, matrix_DD in self._read_through().items():
            state[name] = (state[name].double() @ matrix_DD.double()).to(state[name].dtype)
        return state

    @torch.no_grad()
    def load_plain_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights that :meth:`plain_state` gave, of the same layers and tables.

        The function is then the same, too, whatever head transform the towers read through. Rows that a table has grown
        by since keep what they hold.

        Args:
            state: Tensors by name.

        Raises:
            InputError: If tensors are missing or of another shape. All are listed.
        """
        if problems := self.misfits({name: value.shape for name, value in state.items()}):
            raise InputError.of("weights do not fit the network that is to start from them", problems)
        turned = {
            name: torch.linalg.solve(matrix_DD.double(), state[name].double(), left=False)
            for name, matrix_DD in self._read_through().items()
        }
        for name, value in self._plain_tensors().items():
            saved = turned.get(name, state[name])
            value[: len(saved)] = saved.to(value.dtype)

    def misfits(self, shapes: Mapping[str, Sequence[int]]) -> list[str]:
        """Why weights of these shapes cannot be taken over; empty if they can."""
        found = {name: _misfit(name, value.shape, shapes.get(name)) for name, value in self._plain_tensors().items()}
        return [f"{name} {problem}" for name, problem in found.items() if problem]

    def _plain_tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if not name.startswith("head_transform.")}

    def _read_through(self) -> dict[str, Tensor]:
        """The name of each tower's first weights, to the matrix of its head transform; empty without any."""
        if self.head_transform is None:
            return {}
        firsts = [next(n for n, layer in t.named_modules() if isinstance(layer, nn.Linear)) for t in self.towers]
        names = [f"towers.{task}.{first}.weight" for task, first in enumerate(firsts)]
        return dict(zip(names, self.head_transform.matrix_TDD(), strict=True))

    def initialise(self, generator: torch.Generator, embedding_std: float) -> None:
        """Draw every weight from a generator: a run's start depends on its seed and on nothing else.

        Tables are normal with the given standard deviation, the special rows (padding, null, out of vocabulary) zero,
        so that an id never trained adds nothing; linear layers are uniform within ``1 / sqrt(inputs)``, torch's
        default.
        """
        with torch.no_grad():
            self.embedding.initialise(generator, embedding_std)
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    bound = layer.in_features**-0.5
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)

    def _logits(self, views: Sequence[Tensor]) -> Tensor:
        views = views if self.head_transform is None else self.head_transform(views)
        return torch.cat([tower(view) for tower, view in zip(self.towers, views, strict=True)], dim=1)


def _misfit(name: str, mine: Sequence[int], saved: Sequence[int] | None) -> str | None:
    """Why weights of a shape cannot take the place of a network's own."""
    if saved is None:
        return "is missing"
    is_table = name.startswith("embedding.")
    fits = [*saved][1:] == [*mine][1:] and (saved[0] <= mine[0] if is_table else saved[0] == mine[0])
    return None if fits else f"is {[*saved]} there and {[*mine]} here"


def _layers(width: int, units: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip([width, *units], units, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()] + [nn.Dropout(dropout)] * (dropout > 0)
    return nn.Sequential(*layers)

"""The base of every architecture: a network over embedded features with one logit a task."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from features.errors import InputError
from models.embedding.base import Embedding
from models.embedding.cut import Bags, Layout, TableCut
from models.encodings.base import Encoding
from models.encodings.numbers import Numbers
from models.interactions.base import Interaction
from models.layers.experts import BatchedLinear
from models.layers.members import MemberScale, mean_logit

# The tensors that one task reads: the shared one, or the shared one and further ones.
View = Tensor | tuple[Tensor, ...]

_TRANSFORM = "head_transform."
# Rows of all members that an ensemble evaluates at a time, as many as a batch of evaluation has.
_AT_ONCE = 8192


class HeadTransform(Protocol):
    """A linear map for each task, through which the task reads one shared vector; a module, so that it is saved too."""

    def __call__(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Each task's mapped vectors B x D, from T views B x D of the shared ones."""

    def matrix_TDD(self) -> Tensor:
        """The maps: task k reads ``matrix_k @ z``."""


class Architecture(nn.Module, ABC):
    """A network over an embedding. Plain torch: the same module trains and serves.

    A subclass makes its layers, lists the parameters that tasks share (:meth:`shared_layers`) and turns rows into
    logits (:meth:`through_layers`). Tables apart, each other parameter belongs to one task: no other task's loss may
    reach it. Each task's tower is made by :mod:`models.layers.towers`, which knows of an ensemble's members; the last
    layer of ``towers[t]`` makes task t's logit, unless :meth:`output_layers` says otherwise.
    ``tests/conformance/test_architectures.py`` checks all of this for every architecture.

    Args:
        embedding: An embedding of TorchRec's or fbgemm's to train (:mod:`models.embedding`), the plain one
            (:mod:`models.embedding.portable`) to serve.
        head_transform: Module through which tasks read the shared vector; None for none.
    """

    head_transform: HeadTransform | None
    towers: nn.ModuleList
    numbers: Numbers | None
    interaction: Interaction | None
    members: MemberScale | None
    own_tables: int

    def __init__(self, embedding: Embedding, head_transform: HeadTransform | None = None) -> None:
        super().__init__()
        self.embedding = embedding
        self.head_transform = head_transform
        self.numbers = None
        self.interaction = None
        self.members = None
        self.own_tables = 0  # number of tasks that have tables of their own

    def through(
        self, pooled_BE: Tensor, value_BV: Tensor, own_BX: Tensor | None = None
    ) -> tuple[Tensor, tuple[View, ...]]:
        """Logits and shared views of any rows of a batch: the network above the embedding.

        Args:
            pooled_BE: The rows' pooled embeddings, those of the tables that tasks share.
            value_BV: Their numeric values.
            own_BX: The pooled embeddings of the tasks' own tables, one task's after another's; None where tasks have
                none (:attr:`~models.architectures.base_config.ArchitectureConfig.has_own_tables`).

        Returns:
            As :meth:`through_layers`. An ensemble of K members has logits B x K x T; the shared tensor has B K rows.
        """
        assert own_BX is None, "an architecture with tables of tasks' own extends this"
        input_BX = self.layers_input(pooled_BE, value_BV)
        if self.members is None:
            return self.through_layers(input_BX)
        logits_NT, views = self.through_layers(self.members(input_BX))
        return self.members.apart(logits_NT), views

    def layers_input(self, pooled_BE: Tensor, value_BV: Tensor) -> Tensor:
        """The input of the layers: embeddings and encoded numbers, or what an interaction has made of them."""
        number_BX = value_BV if self.numbers is None else self.numbers(value_BV)
        if self.interaction is None:
            return torch.cat([pooled_BE, number_BX], dim=1)
        input_BX: Tensor = self.interaction(pooled_BE, number_BX)
        return input_BX

    @abstractmethod
    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits and shared views from the input of the layers.

        Args:
            input_BX: Embeddings and numeric values, or what an interaction has made of them; of an ensemble, for each
                row those of all members.

        Returns:
            Logits B x T, and T distinct views (:mod:`models.layers.views`) of the last tensor that several tasks read.
            Conflict "at the features" is measured there. Where tasks read further tensors that lead to something
            shared, as gates read the input, each has a tuple: its view of that last tensor, then its views of the
            others, the same tensors for every task. Loss t reaches everything shared, pooled embeddings included, only
            through the views of task t.
        """

    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters, tables apart, that more than one task's loss reaches."""
        below = [module for module in (self.numbers, self.interaction, self.members) if module is not None]
        return [*(parameter for module in below for parameter in module.parameters()), *self.shared_layers()]

    @abstractmethod
    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the layers that more than one task's loss reaches."""

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The layers that read the layers' input, if each column of it goes into them alone; otherwise empty.

        A server then multiplies the columns that are the same in many rows once.
        """
        return ()

    def heads(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first linear layer of each task above the shared vector, which a head transform is folded into.

        Empty where tasks read no single vector; the config's ``head_width`` is then None.
        """
        return ()

    def output_layers(self) -> list[nn.Linear | BatchedLinear]:
        """The layer of each task that makes its logit, of an ensemble those of all members: its tower's last one."""
        return [last_layer(tower) for tower in self.towers]

    def own_prevalences(self, prevalence: Sequence[float]) -> list[float]:
        """The prevalence of what each output layer predicts, the tasks' own unless tasks are products."""
        return list(prevalence)

    @torch.no_grad()
    def start_at(self, prevalence: Sequence[float]) -> None:
        """Give each output layer the bias of its log-odds, so that training starts at the tasks' prevalences.

        Weights keep their draws, so that rows differ from the start; without them each row has the prevalence exactly.
        This is the prior of Lin et al. (Focal loss, ICCV 2017, section 4.1), one for each task.

        Args:
            prevalence: The share of positives of each task, in (0, 1).
        """
        for layer, rate in zip(self.output_layers(), self.own_prevalences(prevalence), strict=True):
            layer.bias.fill_(math.log(rate) - math.log1p(-rate))

    def expert_gates(self) -> Mapping[str, nn.Module]:
        """The modules that mix experts, by name: each gives a row's shares, B x N. Empty without experts."""
        return {}

    def forward(self, bags: Bags, value_BV: Tensor) -> Tensor:
        """Logits B x T, with the tables in the graph; those of an ensemble are of its members' mean probability."""
        pooled_BE, own_BX = self.pooled(bags)
        if self.members is None:
            return self.through(pooled_BE, value_BV, own_BX)[0]
        if torch.compiler.is_exporting():  # a graph for any number of rows has no loop over pieces of them
            return mean_logit(self.through(pooled_BE, value_BV, own_BX)[0])
        size = max(_AT_ONCE // self.members.members, 1)
        pieces = [slice(start, start + size) for start in range(0, max(len(value_BV), 1), size)]
        logits = (self.through(pooled_BE[p], value_BV[p], None if own_BX is None else own_BX[p])[0] for p in pieces)
        return torch.cat([mean_logit(logits_BKT) for logits_BKT in logits])

    def served_logits(self, bags: Bags, value_BV: Tensor) -> Tensor:
        """Logits of all that a served model gives, B x O: those of the tasks, then those of the further outputs.

        An architecture whose config names :meth:`~models.layers.task_names.TaskNames.further_outputs` extends this.
        """
        logits_BT: Tensor = self(bags, value_BV)
        return logits_BT

    @property
    def shared_layout(self) -> Layout:
        """Columns and tables of the features in the tables that tasks share."""
        return self.embedding.layout.first(1 + self.own_tables)

    def bags_of_tables(self, bags: Bags) -> Bags:
        """The bags that all tables read: those of the features, once more for each task with tables of its own."""
        return bags.repeated(1 + self.own_tables) if self.own_tables else bags

    def pooled(self, bags: Bags) -> tuple[Tensor, Tensor | None]:
        """The pooled embeddings of a batch, attached to their tables: those that tasks share, and tasks' own."""
        pooled_BX: Tensor = self.embedding(self.bags_of_tables(bags))
        if not self.own_tables:
            return pooled_BX, None
        shared_BE, own_BX = pooled_BX.tensor_split([sum(self.shared_layout.widths)], dim=1)
        return shared_BE, own_BX

    def cut(self, bags: Bags) -> TableCut:
        """The pooled embeddings of a batch, cut from their tables: the input of :meth:`through`."""
        whole = self.embedding.cut(self.bags_of_tables(bags))
        return whole.with_own(bags, self.shared_layout) if self.own_tables else whole

    def network_parameters(self) -> list[nn.Parameter]:
        """Every parameter except those of the head transform, which has its own optimizer."""
        return [p for name, p in self.named_parameters() if not name.startswith(_TRANSFORM)]

    @torch.no_grad()
    def plain_state(self) -> dict[str, Tensor]:
        """The weights of the same function without a head transform, which is folded into each task's first layer.

        Where ranks share the tables, all take part, and the first rank gets whole tables.
        """
        elsewhere = (_TRANSFORM, "embedding.")
        state = {f"embedding.{name}": value for name, value in self.embedding.whole_state().items()}
        state |= {name: value for name, value in self.state_dict().items() if not name.startswith(elsewhere)}
        for name, matrix_DD in self._folded().items():
            state[name] = (state[name].double() @ matrix_DD.double()).to(state[name].dtype)
        return state

    @torch.no_grad()
    def load_plain_state(self, state: Mapping[str, Tensor]) -> None:
        """Load weights from :meth:`plain_state` of a network with the same layers and tables.

        The function is then the same, whatever the head transform. Rows that a table has gained keep their values.

        Args:
            state: Tensors by name.

        Raises:
            InputError: If tensors are missing or of another shape. All are listed.
        """
        if problems := self.misfits({name: value.shape for name, value in state.items()}):
            raise InputError.of("weights do not fit the network that is to start from them", problems)
        unfolded = {
            name: torch.linalg.solve(matrix_DD.double(), state[name].double(), left=False)
            for name, matrix_DD in self._folded().items()
        }
        for name, value in self._plain_tensors().items():
            saved = unfolded.get(name, state[name])
            value[: len(saved)] = saved.to(value.dtype)

    def misfits(self, shapes: Mapping[str, Sequence[int]]) -> list[str]:
        """The reasons why weights of these shapes cannot be loaded; empty if they can."""
        found = {name: _misfit(name, value.shape, shapes.get(name)) for name, value in self._plain_tensors().items()}
        return [f"{name} {problem}" for name, problem in found.items() if problem]

    def initialise(self, generator: torch.Generator, embedding_std: float) -> None:
        """Draw every weight from a generator, so that a run's start depends on its seed alone.

        Tables are normal with the given standard deviation, their special rows (padding, null, out of vocabulary) zero,
        so that an id that was never trained adds nothing. Linear layers are uniform within ``1 / sqrt(inputs)``,
        torch's default, encodings of numbers draw their own. An architecture with other random parameters extends this.
        """
        with torch.no_grad():
            self.embedding.initialise(generator, embedding_std)
            for layer in self.modules():
                if isinstance(layer, nn.Linear | BatchedLinear):
                    draw_uniform(list(layer.parameters()), layer.in_features, generator)
                elif isinstance(layer, Encoding | MemberScale):
                    layer.initialise(generator)

    def _plain_tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if not name.startswith(_TRANSFORM)}

    def _folded(self) -> dict[str, Tensor]:
        """The matrix of each head's transform by the name of the head's weight; empty without a transform."""
        if self.head_transform is None:
            return {}
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        heads = [names[id(head.weight)] for head in self.heads()]
        return dict(zip(heads, self.head_transform.matrix_TDD(), strict=True))


def first_layer(layers: nn.Module) -> nn.Linear | BatchedLinear:
    """The first linear layer of layers that stand one behind the other."""
    return next(layer for layer in layers.modules() if isinstance(layer, nn.Linear | BatchedLinear))


def last_layer(tower: nn.Module) -> nn.Linear | BatchedLinear:
    """The last linear layer of a tower."""
    return [layer for layer in tower.modules() if isinstance(layer, nn.Linear | BatchedLinear)][-1]


def draw_uniform(weights: Sequence[Tensor], inputs: int, generator: torch.Generator) -> None:
    """Draw weights in place, uniform within ``1 / sqrt(inputs)``."""
    bound = inputs**-0.5
    for weight in weights:
        weight.uniform_(-bound, bound, generator=generator)


def _misfit(name: str, mine: Sequence[int], saved: Sequence[int] | None) -> str | None:
    """The reason why weights of a saved shape cannot take the place of a network's own."""
    if saved is None:
        return "is missing"
    is_table = name.startswith("embedding.")
    fits = [*saved][1:] == [*mine][1:] and (saved[0] <= mine[0] if is_table else saved[0] == mine[0])
    return None if fits else f"is {[*saved]} there and {[*mine]} here"

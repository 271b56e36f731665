"""The base of every architecture's config: the keys of ``[model]`` that all have, and the network that they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveInt

from features.encoder import EncodedValue, Table
from models.architectures.base import Architecture, HeadTransform
from models.embedding.base import Embedding
from models.encodings import EncodingsConfig
from models.interactions import AnyInteraction
from models.layers.members import MemberHeads, MemberScale
from models.layers.task_graph import BASE
from models.layers.task_names import TaskNames

DEFAULT_KIND = "shared_bottom"
# Between a table's name and that of the task whose own copy it is: no feature and no task has it in its name.
OWNED_BY = "-"


class ArchitectureConfig(TaskNames, ABC):
    """The keys of ``[model]``: a subclass for each architecture, in the same file.

    A subclass declares ``kind: Literal["<its file's name>"]`` with that default, and its layers' keys with defaults.

    Args:
        kind: The architecture: the name of its file in ``models/architectures``.
        embedding_std: Standard deviation of the tables' normal initialisation.
        interaction: Products of features below the architecture, ``[model.interaction]``; None for none.
        encoding: Sizes of the encodings that numeric features declare, ``[model.encoding]``.
        ensemble: Number of members that differ in a scaling of the architecture's input and in each task's last layer
            (TabM-mini); 1 for a single network. A task's loss is the mean of its members' losses, its probability the
            mean of theirs.
    """

    # Whether each task has tables of its own beside those that all share, of the same features and sizes.
    has_own_tables: ClassVar[bool] = False

    kind: str
    embedding_std: Annotated[float, Field(gt=0)] = 0.05
    interaction: AnyInteraction | None = None
    encoding: EncodingsConfig = EncodingsConfig()
    ensemble: PositiveInt = 1

    @property
    def head_width(self) -> int | None:
        """Width D of the one shared vector that all tasks read; None where there is no such vector.

        Methods with rotations map this vector, so they need an architecture that has it.
        """
        return None

    def tables(self, tables: Sequence[Table], tasks: Sequence[str]) -> list[Table]:
        """The tables of the network; whoever builds, sizes, saves or serves one asks here.

        Args:
            tables: The tables of the encoder.
            tasks: The names of the tasks.

        Returns:
            These, which tasks share, and after them, where tasks have tables of their own, a copy of all for each task,
            such as ``user_id-click``.
        """
        owners = tasks if self.has_own_tables else ()
        return [*tables, *(replace(table, name=f"{table.name}{OWNED_BY}{task}") for task in owners for table in tables)]

    def parts_read(self, tasks: Sequence[str]) -> Sequence[Set[int]]:
        """For each task, the parts that it reads of the tensor at which conflict "at the features" is measured.

        Tasks that have no part in common would never be in conflict there, whatever their losses ask for.

        Args:
            tasks: The names of the trained tasks.
        """
        return [{BASE} for _ in tasks]

    @classmethod
    @abstractmethod
    def example(cls) -> Self:
        """A small network with every part of the architecture, without dropout: the conformance suite trains it.

        Tasks that it names are those of Census-income: income, marital and education.
        """

    @abstractmethod
    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> Architecture:
        """The network with these keys; called by :meth:`build`, which has checked the head transform.

        Args:
            embedding: Its embedding.
            values: Number of columns of the layers' input beside those of the embedding.
            tasks: The names of the tasks.
            head_transform: Module through which tasks read the shared vector; None for none.
        """

    def build(
        self,
        embedding: Embedding,
        *,
        values: int,
        tasks: Sequence[str],
        head_transform: HeadTransform | None = None,
        encoded: Sequence[EncodedValue] = (),
    ) -> Architecture:
        """The network with these keys, before initialisation; training, warm start and serving all build it here.

        Args:
            embedding: Its embedding, of the tables of :meth:`tables`.
            values: Number of numeric values, V.
            tasks: The names of the T tasks.
            head_transform: Module through which tasks read the shared vector; None for none.
            encoded: Those of the values that the network encodes.

        Raises:
            ValueError: If there is a head transform, and no shared vector to map, or if members of an ensemble would
                share the heads of a task.
        """
        if head_transform is not None and self.head_width is None:
            raise ValueError(f"`{self.kind}` should have no head transform: tasks share no single vector. Found one.")
        numbers = self.encoding.build(values, encoded)
        widths = [1] * values if numbers is None else numbers.widths
        layout = embedding.layout.first(1 + len(tasks)) if self.has_own_tables else embedding.layout
        interaction = None if self.interaction is None else self.interaction.build(layout, sum(widths))
        extra = 0 if interaction is None else interaction.extra
        network = self.network(embedding, values=sum(widths) + extra, tasks=tasks, head_transform=head_transform)
        network.numbers, network.interaction = numbers, interaction
        if self.ensemble > 1:
            heads = sum(isinstance(layer, MemberHeads) for layer in network.modules())
            if heads < len(tasks):
                raise ValueError(
                    f"`{self.kind}` should make a head of members for each task (models.layers.towers). Found {heads}."
                )
            network.members = MemberScale(self.ensemble, [*layout.widths, *[1] * extra, *widths])
        return network

    @property
    def layers(self) -> dict[str, Any]:
        """The keys, in JSON's types, from which a trained network is built again: all but the initialisation's."""
        content = self._content()
        del content["embedding_std"]
        return content

    @property
    def identity(self) -> dict[str, Any]:
        """The keys, in JSON's types, for a run's fingerprint.

        Order and content are those of the time when there was one architecture, so that older runs are still found:
        the shared bottom leaves out its name.
        """
        content = self._content()
        kind, std = content.pop("kind"), content.pop("embedding_std")
        return ({} if kind == DEFAULT_KIND else {"kind": kind}) | content | {"embedding_std": std}

    def _content(self) -> dict[str, Any]:
        """The keys; those that runs and models are older than only if they are not their defaults."""
        later = {"interaction", "encoding", "ensemble"}
        usual = {key for key in later if getattr(self, key) == type(self).model_fields[key].default}
        return self.model_dump(mode="json", exclude=usual)

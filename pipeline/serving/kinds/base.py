"""The interface of every kind of served model: what its `model.json` says, and the predictor that its files become."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor

from features.declared import Declared
from features.encoder import Encoder
from features.kinds.base import Name
from features.request.encoder import Encoded
from features.spec import FeatureSpec
from models.embedding.portable import PortableEmbedding
from models.embedding.precisions import FLOAT32, Precision
from pipeline.data.windows import Window
from pipeline.serving.graph_rows import RowGraph

# From encoded rows to probabilities as of :meth:`Predictor.probabilities`; None where they are not faster so.
OfCandidates = Callable[[Encoded], Tensor | None]


class Predictor(ABC):
    """A loaded model."""

    @property
    def further(self) -> tuple[str, ...]:
        """The names of outputs beside the tasks; see :meth:`models.layers.task_names.TaskNames.further_outputs`."""
        return ()

    @property
    def embeddings(self) -> Iterable[PortableEmbedding]:
        """The embedding tables of its networks; empty for a model without any."""
        return ()

    @abstractmethod
    def probabilities(self, window: Window) -> Tensor:
        """Probabilities of encoded rows: rows x outputs, the tasks first, in floats of any width.

        A row that the model cannot score has a number that is not finite.

        Args:
            window: The rows, at least one.
        """

    def for_candidates(self, spec: FeatureSpec) -> OfCandidates | None:
        """A faster way for requests that have features in common in all rows; None without one.

        Args:
            spec: Declares the features.
        """
        del spec
        return None

    @abstractmethod
    def graph(self) -> RowGraph:
        """The same function in operations of torch that leave it as an ONNX graph."""


class Content(Declared, ABC):
    """What a model's ``model.json`` says. It is read from untrusted places: a file's sizes are checked against it.

    Args:
        tasks: The tasks that its outputs predict, in order.
    """

    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]

    @property
    @abstractmethod
    def files(self) -> Sequence[str]:
        """The names of its files, relative to its folder; ``model.json`` and the encoder's are not among them."""

    @abstractmethod
    def load(self, files: Mapping[str, Path], encoder: Encoder, tables: Precision = FLOAT32) -> Predictor:
        """Read its files.

        Args:
            files: The place of each of its :attr:`files`.
            encoder: The encoder of the rows.
            tables: The precision in which embedding tables are held.

        Raises:
            InputError: If the files do not fit the content, or hold numbers that are not finite or too large for the
                precision. No memory is allocated for them then.
        """

    def written(self) -> str:
        """The text of ``model.json``."""
        return self.model_dump_json(indent=1)


@dataclass(frozen=True)
class Packed:
    """A model before it is written to a folder of its own.

    Args:
        content: What ``model.json`` will say.
        files: Each of its files by name, with the place of a copy.
    """

    content: Content
    files: Mapping[str, Path]

    def load(self, encoder: Encoder) -> Predictor:
        """The model; arguments and errors as those of :meth:`Content.load`."""
        return self.content.load(self.files, encoder)


def inside(files: Mapping[str, Path], folder: str) -> dict[str, Path]:
    """The files of a part of a model, whose names begin with a folder's, by their names in it."""
    return {name.removeprefix(f"{folder}/"): path for name, path in files.items() if name.startswith(f"{folder}/")}

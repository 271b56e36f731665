"""One user's candidates: the columns that all rows have in common are looked up and multiplied once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from features.request.encoder import Encoded
from features.spec import FeatureSpec
from models.architectures.base import Architecture
from models.embedding.chosen import ChosenEmbedding
from models.embedding.portable import PortableEmbedding
from models.layers.experts import BatchedLinear
from pipeline.data.windows import Window

# From this number of rows on, what is saved is more than the second look-up costs: benchmarks/RESULTS.md.
FEWEST = 20
# Callers decide which columns are shared, so the number of splits is unbounded.
_KEPT = 16


class CandidateNetwork:
    """A network that reads shared features and candidates' own apart.

    Its first layers compute ``W x + b`` of the columns x that the layers read; with the columns of the shared features
    apart this is ``W_own x_own + (W_shared x_shared + b)``, the bracket once a request. It is exact to rounding.

    Args:
        model: The network.
        spec: Declares the features.
    """

    def __init__(self, model: Architecture, spec: FeatureSpec) -> None:
        self._model, self._spec = model, spec
        # Splits hold the shared part of a request while they are used: each thread has its own.
        self._of_thread = threading.local()

    @staticmethod
    def can_split(model: Architecture) -> bool:
        """Whether a network's first layers are linear in the columns of embeddings and numbers.

        Interactions multiply columns, members scale them, and encodings of numbers have an order of their own.
        """
        beside = (model.numbers, model.interaction, model.members)
        return bool(model.input_layers()) and all(part is None for part in beside)

    def logits(self, encoded: Encoded) -> Tensor | None:
        """Logits B x T; None where nothing is saved by a split."""
        shared = frozenset(name for name, part in encoded.parts.items() if part.rows == 1)
        if encoded.rows < FEWEST or not shared or len(shared) == len(encoded.parts):
            return None
        kept: dict[frozenset[str], _Split] | None = getattr(self._of_thread, "kept", None)
        if kept is None or len(kept) >= _KEPT:
            kept = self._of_thread.kept = {}
        if shared not in kept:
            kept[shared] = _Split(self._model, self._spec, shared)
        return kept[shared].logits(encoded)


class _Split:
    """A network split for one choice of shared features.

    Args:
        model: The network.
        spec: Declares all features.
        shared: The shared ones.
    """

    def __init__(self, model: Architecture, spec: FeatureSpec, shared: frozenset[str]) -> None:
        embedding = model.embedding
        assert isinstance(embedding, PortableEmbedding), "load_network has made it"
        columns = _columns(embedding, spec)
        self._sides = tuple(
            _Side(embedding, spec, [name for name in spec.features if (name in shared) == is_shared])
            for is_shared in (True, False)
        )
        of_shared, own = (
            torch.tensor([c for name in side.order for c in columns[name]], dtype=torch.int64) for side in self._sides
        )
        # What reads the tables in the copy is not asked.
        self._model = deepcopy(model, {id(embedding): nn.Identity()})
        names = {id(layer): name for name, layer in model.named_modules()}
        self._layers = [_SplitLayer(layer, own, of_shared) for layer in model.input_layers()]
        for layer, split in zip(model.input_layers(), self._layers, strict=True):
            self._model.set_submodule(names[id(layer)], split)

    def logits(self, encoded: Encoded) -> Tensor:
        """Logits B x T."""
        shared_1X, own_BX = (side.input(encoded, n) for side, n in zip(self._sides, (1, encoded.rows), strict=True))
        for layer in self._layers:
            layer.share(shared_1X)
        return self._model.through_layers(own_BX)[0]


class _Side:
    """The features that all rows share, or the others.

    Args:
        embedding: The embedding of all features.
        spec: Declares them.
        names: Those of this side.
    """

    def __init__(self, embedding: PortableEmbedding, spec: FeatureSpec, names: Sequence[str]) -> None:
        self._names = names
        ids = [name for name in spec.id_features if name in names]
        # The columns of the embeddings, then those of the numbers; a feature may have both.
        self.order = [*(("id", name) for name in ids), *(("value", n) for n in spec.value_features if n in names)]
        self._spec = spec.model_copy(update={"features": {name: spec.features[name] for name in names}})
        self._embedding = ChosenEmbedding(embedding, [spec.id_features.index(name) for name in ids])

    def input(self, encoded: Encoded, rows: int) -> Tensor:
        """The columns of these features, rows x their number."""
        parts = {name: encoded.parts[name] for name in self._names}
        batch = Window.of_parts(parts, self._spec).batch(0, rows)
        return torch.cat([self._embedding(batch.bags, rows), batch.value_BV], dim=1)


def _columns(embedding: PortableEmbedding, spec: FeatureSpec) -> dict[tuple[str, str], range]:
    """The columns of the layers' input that each feature's embedding and number have."""
    found, first = dict[tuple[str, str], range](), 0
    for name, width in zip(spec.id_features, embedding.layout.widths, strict=True):
        found["id", name] = range(first, first + width)
        first += width
    for place, name in enumerate(spec.value_features):
        found["value", name] = range(first + place, first + place + 1)
    return found


class _SplitLayer(nn.Module):
    """A linear layer, or several side by side, of which the shared columns' part is computed before.

    Args:
        layer: The layer.
        own: The columns of its input that it reads.
        shared: The other ones.
    """

    def __init__(self, layer: nn.Linear | BatchedLinear, own: Tensor, shared: Tensor) -> None:
        super().__init__()
        weight_UX, bias_U = layer.weight.detach().flatten(0, -2), layer.bias.detach().flatten()
        self._own_UX, self._shared_UX = (weight_UX[:, columns].contiguous() for columns in (own, shared))
        self._bias_U = self._now_U = bias_U
        self._units = layer.bias.shape

    def share(self, shared_1X: Tensor) -> None:
        """Compute the part of the shared columns."""
        self._now_U = functional.linear(shared_1X, self._shared_UX, self._bias_U)[0]

    def forward(self, own_BX: Tensor) -> Tensor:
        """The layer's output, B x its units."""
        return functional.linear(own_BX, self._own_UX, self._now_U).view(-1, *self._units)

"""The embedding that trains with plain tables: TorchRec's EmbeddingBagCollection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchrec.modules.embedding_configs import EmbeddingBagConfig
from torchrec.modules.embedding_modules import EmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor, KeyedTensor

from features.encoder import Table
from models.embedding.base import Embedding
from models.embedding.cut import Bags, Layout
from models.table_optimizers.rules import TABLE_OPTIMIZERS


class TorchRecEmbedding(Embedding):
    """Tables that one feature or several read, pooled by a sum.

    A mean is a sum with entry weights 1 / length (:class:`models.embedding.cut.Bags`): TorchRec's own MEAN adds 1e-6 to
    the divisor when sharded by rows and is ignored when sharded by grid.

    Args:
        tables: The tables; their features one after another are the pooled columns.
        optimizer: The tables' optimizer, by its name in :mod:`models.table_optimizers.names`. Under a row optimizer
            their gradients are sparse: they hold the rows that were read.
        weighted: Whether bags come with entry weights.
    """

    def __init__(self, tables: Sequence[Table], optimizer: str = "adam", *, weighted: bool = False) -> None:
        super().__init__()
        self.layout, self._rule = Layout.of(tables), TABLE_OPTIMIZERS[optimizer]
        self._keys = feature_keys(tables)
        self.collection = collection(tables, weighted=weighted, device=torch.device("cpu"))
        for bag in self.collection.embedding_bags.values():
            assert isinstance(bag, nn.EmbeddingBag)
            bag.sparse = self._rule is not None  # the collection has no option for it

    def optimizer(self, rate: float) -> Optimizer | None:
        """The row optimizer of the declared name; None for Adam, which steps from dense gradients."""
        return None if self._rule is None else self._rule(self.tables(), rate)

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        return in_order(self.collection(jagged(bags, self._keys)), self._keys)


def feature_keys(tables: Sequence[Table]) -> list[str]:
    """A key for each pooled feature, in the order of the columns: several tables may read one feature."""
    return [key for table in tables for key in _keys_of(table)]


def _keys_of(table: Table) -> list[str]:
    return [f"{table.name}:{feature}" for feature in table.features]


def collection(tables: Sequence[Table], *, weighted: bool, device: torch.device) -> EmbeddingBagCollection:
    """TorchRec's module of tables."""
    configs = [
        EmbeddingBagConfig(name=t.weights_name, feature_names=_keys_of(t), num_embeddings=t.rows, embedding_dim=t.width)
        for t in tables
    ]
    return EmbeddingBagCollection(tables=configs, is_weighted=weighted, device=device)


def jagged(bags: Bags, keys: Sequence[str]) -> KeyedJaggedTensor:
    """Bags as TorchRec reads them, without a copy."""
    # Of lengths on a device TorchRec would wait for it to count the entries.
    entries_F = None if bags.known_FB is None else bags.entries(len(keys))
    return KeyedJaggedTensor(
        keys=list(keys),
        values=bags.ids_N,
        lengths=bags.lengths_FB,
        weights=bags.weight_N,
        length_per_key=entries_F,
    )


def in_order(pooled: KeyedTensor, keys: Sequence[str]) -> Tensor:
    """Pooled embeddings B x E by key: sharded and quantised collections return their keys in another order."""
    values, found = pooled.values(), pooled.keys()
    if found == list(keys):
        return values
    # One split: asked for key by key, each would have a gradient of the size of all, which are then added up.
    column_of = dict(zip(found, values.split(pooled.length_per_key(), dim=1), strict=True))
    return torch.cat([column_of[key] for key in keys], dim=1)

"""The embedding front that trains: TorchRec's EmbeddingBagCollection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig
from torchrec.modules.embedding_modules import EmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from features.encoder import Table
from models.cut import Bags, Layout
from models.shared_bottom import Embedding


class TorchRecEmbedding(Embedding):
    """Tables that one feature or several read, pooled by a sum.

    A mean is a sum with entry weights 1 / length (:class:`models.cut.Bags`): TorchRec's own MEAN adds 1e-6 to the
    divisor when sharded by rows and is ignored when sharded by grid.

    Args:
        tables: The tables; their features one after another are the pooled columns.
        weighted: Whether bags come with entry weights.
        sparse: Whether the tables' gradients hold the rows that were read and no others.
    """

    def __init__(self, tables: Sequence[Table], *, weighted: bool = False, sparse: bool = False) -> None:
        super().__init__()
        self.layout = Layout.of(tables)
        self._keys = [name for table in tables for name in table.features]
        configs = [
            EmbeddingBagConfig(
                name=t.weights_name, feature_names=list(t.features), num_embeddings=t.rows, embedding_dim=t.width
            )
            for t in tables
        ]
        self.collection = EmbeddingBagCollection(tables=configs, is_weighted=weighted, device=torch.device("cpu"))
        for bag in self.collection.embedding_bags.values():
            assert isinstance(bag, nn.EmbeddingBag)
            bag.sparse = sparse  # the collection has no option for it

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        jagged = KeyedJaggedTensor(keys=self._keys, values=bags.ids_N, lengths=bags.lengths_FB, weights=bags.weight_N)
        pooled = self.collection(jagged)
        # By key: sharded and quantised collections return their keys in another order.
        return pooled.values() if pooled.keys() == self._keys else torch.cat([pooled[k] for k in self._keys], dim=1)

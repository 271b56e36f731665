"""The serving embedding with the tables of each width joined: the same pooled embeddings, under the same names."""

from __future__ import annotations

import pytest
import torch

from features.encoder import Table
from models.embedding.cut import Bags
from models.embedding.portable import PortableEmbedding

SHAPES = {
    "one width": [Table("a", 7, 4, ("a",)), Table("b", 5, 4, ("b", "c")), Table("d", 9, 4, ("d",))],
    "two widths": [Table("a", 7, 4, ("a",)), Table("b", 5, 8, ("b", "c")), Table("d", 9, 4, ("d",))],
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_joined_tables_are_read_as_each_by_itself(shape: str, weighted: bool) -> None:
    embedding = PortableEmbedding(SHAPES[shape])
    generator = torch.Generator().manual_seed(0)
    lengths_FB = torch.randint(0, 4, (4, 6), generator=generator, dtype=torch.int32)
    sizes = [table.rows for table in SHAPES[shape] for _ in table.features]
    ids = [torch.randint(0, n, (int(k.sum()),), generator=generator) for n, k in zip(sizes, lengths_FB, strict=True)]
    ids_N = torch.cat(ids).to(torch.int32)
    weight_N = torch.rand(len(ids_N), generator=generator) if weighted else None
    bags = Bags(ids_N, lengths_FB.flatten(), weight_N)
    state = {name: value.clone() for name, value in embedding.state_dict().items()}
    expected_BE = embedding(bags)
    embedding.join()
    torch.testing.assert_close(embedding(bags), expected_BE, rtol=0, atol=1e-6)
    assert {name: value.tolist() for name, value in embedding.state_dict().items()} == {
        name: value.tolist() for name, value in state.items()
    }
    # No second copy: a table is a part of the joined tensor.
    pointers = {table.untyped_storage().data_ptr() for table in embedding.tables()}
    assert len(pointers) == len({table.shape[1] for table in embedding.tables()})

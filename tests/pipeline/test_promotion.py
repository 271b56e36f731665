"""Which version serves: promoted if it passes, refused if not, rolled back, by one process at a time."""

from __future__ import annotations

from pipeline.promotion import promote, rollback
from tests.pipeline.shop import Shop, registered, shop

__all__ = ["registered", "shop"]


def test_a_better_version_passes_a_worse_one_does_not_and_there_is_a_way_back(shop: Shop) -> None:
    for version in (1, 2):
        assert promote(shop.config, shop.prepared, version).passed
    refused = promote(shop.config, shop.prepared, 3)
    assert not refused.passed
    model = shop.model()
    assert model.aliases == {"champion": 2, "previous": 1}
    assert rollback("shop", "a complaint").champion == 1
    assert model.aliases == {"champion": 1, "previous": 2}

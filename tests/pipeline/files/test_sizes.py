"""Numbers of bytes in words."""

from __future__ import annotations

import pytest

from pipeline.files.sizes import size


@pytest.mark.parametrize(("number", "text"), [(1 << 19, "0.5 MiB"), (10 << 20, "10 MiB"), (3 << 29, "1.5 GiB")])
def test_bytes_for_a_person(number: int, text: str) -> None:
    assert size(number) == text

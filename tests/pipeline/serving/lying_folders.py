"""Folders of models that are sealed and lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import InputError
from pipeline.serving import model_folder
from pipeline.serving.scorer import Scorer


def assert_refused(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    """A folder that is spoilt and sealed again is refused, in a message of readable length that has these words."""
    spoil(folder)
    model_folder.seal(folder)
    with pytest.raises(InputError) as error:
        Scorer.load(folder)
    assert message in str(error.value)
    assert len(str(error.value)) < 5000

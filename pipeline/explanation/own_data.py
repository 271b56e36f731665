"""Whether a model was trained on some prepared data."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.prepared import ENCODER, Prepared


def is_of_data(model: Path, prepared: Prepared) -> bool:
    """Whether a model's folder holds the encoder of prepared data, to the byte.

    A model of the data that this has grown from has another encoder as soon as one more value is known.

    Args:
        model: The folder of a model's files.
        prepared: The data.
    """
    return _files(model / ENCODER) == _files(prepared.folder / ENCODER)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

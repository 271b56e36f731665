"""Scores requests with numpy, pyarrow and onnxruntime alone: `python client.py < request.json`.

The request is an object of a list a column; a list of one value holds for all rows. An export has this file beside the
model: it is an example to begin with, and not imported by anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from features.request.reading import column_of
from features.request.saved import SavedEncoder


class Client:
    """A model that `gradops export` wrote to a folder."""

    def __init__(self, folder: Path) -> None:
        self._saved = SavedEncoder.load(folder / "encoder")
        self._outputs: list[str] = json.loads((folder / "export.json").read_text())["outputs"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a process a core answers more requests than threads that wait for each other
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])

    def scores(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
        """Output to the probability of each row; an UnreadError says which column cannot be read."""
        rows = max(map(len, columns.values()), default=0)
        encoded = self._saved.encoder.encode({name: column_of(values) for name, values in columns.items()}, rows)
        (probability_NO,) = self._session.run(None, self._saved.inputs.of(encoded))
        if not np.isfinite(probability_NO).all():
            raise ValueError("a number in the rows is beyond float32")
        return dict(zip(self._outputs, probability_NO.T.tolist(), strict=True))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(Client(Path(__file__).parent).scores(json.load(sys.stdin))) + "\n")

"""A served model as an ONNX graph beside the encoder of its requests, checked before it is written."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

import features
from features.errors import InputError
from features.request.inputs import IDS, OFFSETS, VALUES, WEIGHTS, Inputs
from features.request.saved import SavedEncoder
from models.embedding.cut import Bags
from pipeline.data.windows import Window
from pipeline.files.atomic import atomic
from pipeline.serving.export.invented import invented_rows
from pipeline.serving.graph_rows import GraphRows, RowGraph
from pipeline.serving.scorer import Scorer

MODEL, ABOUT, ENCODER, CLIENT = "model.onnx", "export.json", "encoder", "client.py"
# The lowest that torch's exporter writes without a conversion; it has the additions to places that bags need (16), and
# onnxruntime knows it since 1.14.
OPSET = 18
TOLERANCE = 1e-6
# A file of protobuf ends at 2 GiB: larger weights lie in a file beside the graph.
_LARGEST = 1_500_000_000
_CHECKED = (1, 2, 3, 257)
# The key of what the reduced tables of the model itself change, and the number of rows that it is measured on.
FROM_FLOAT32, _COMPARED = "difference_from_float32", 4096
# What a client needs of our own package `features`.
_CLIENT_FILES, _CLIENT_PACKAGE = ("__init__.py", "constants.py"), "request"


def export(scorer: Scorer, folder: Path, in_float32: Scorer | None = None) -> dict[str, Any]:
    """Write a model for onnxruntime.

    Args:
        scorer: The model; its embedding tables are written in the precision in which it holds them.
        folder: The folder to make: ``model.onnx``, ``export.json``, ``encoder``, ``client.py``, and the package that
            the client imports.
        in_float32: The same model with tables in float32, to say how far the probabilities differ; None to say nothing.

    Returns:
        What ``export.json`` says.

    Raises:
        InputError: If the folder holds something, or the model cannot be exported, or the graph gives other
            probabilities than the model. Nothing is written then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; give a folder that is to be made")
    spec = scorer.encoder.spec
    means = tuple(name for name in spec.multi_hot_features if spec.features[name].is_mean)
    inputs = Inputs(tuple(spec.id_features), tuple(spec.value_features), means, spec.weighted)
    graph = _Exported(scorer.predictor.graph(), inputs).eval()
    with atomic(folder) as draft:
        draft.mkdir()
        _write_encoder(SavedEncoder(scorer.encoder.request_encoder, inputs), draft / ENCODER)
        _write_graph(graph, inputs.of(invented_rows(scorer.encoder, 3, seed=0)), draft / MODEL)
        difference = _largest_difference(scorer, inputs, draft / MODEL)
        if not difference <= TOLERANCE:
            raise InputError(
                f"the model cannot be exported: its graph gives probabilities that differ by {difference:.2g},"
                f" more than {TOLERANCE:g}"
            )
        about = {
            "tasks": list(scorer.tasks),
            "outputs": list(scorer.outputs),
            "digest": scorer.digest,
            "tables": scorer.tables,
            "opset": OPSET,
            "largest_difference": difference,
        }
        if in_float32 is not None:
            found, expected = (_probabilities(one, _COMPARED) for one in (scorer, in_float32))
            about[FROM_FLOAT32] = float(np.abs(found - expected).max())
        (draft / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        _write_client(draft)
    return about


class _Exported(nn.Module):
    """The graph from a client's arrays to probabilities.

    Args:
        model: The model's own graph.
        inputs: The order of the features.
    """

    def __init__(self, model: RowGraph, inputs: Inputs) -> None:
        super().__init__()
        self.model = model
        self._inputs = inputs

    def forward(self, ids: Tensor, offsets: Tensor, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """Probabilities in float64, rows x outputs; the arrays are those of :meth:`Inputs.of`."""
        bags = Bags(ids.long(), offsets.diff(), weights)
        found: Tensor = self.model(GraphRows(bags, values, self._inputs.ids, self._inputs.values))
        return found


def _write_encoder(saved: SavedEncoder, folder: Path) -> None:
    folder.mkdir()
    try:
        saved.save(folder)
    except ValueError as error:
        raise InputError(f"the model cannot be exported: a client lacks the encoding of {error}") from error


def _write_graph(graph: nn.Module, example: Mapping[str, npt.NDArray[Any]], file: Path) -> None:
    entries, rows = {0: "ids"}, {0: "rows"}
    shapes = {IDS: entries, OFFSETS: {0: "offsets"}, VALUES: rows, WEIGHTS: entries}
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            graph,
            kwargs={name: torch.from_numpy(array) for name, array in example.items()},
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={name: shapes[name] for name in example},
            input_names=list(example),
            output_names=["probabilities"],
            verbose=False,
        )
        assert program is not None, "the exporter that is asked for returns a program"
        size = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
        program.save(file, external_data=size > _LARGEST)


def _largest_difference(scorer: Scorer, inputs: Inputs, file: Path) -> float:
    """The largest difference of any probability between the written graph and the model, on invented rows."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = []
    for rows in _CHECKED:
        (probability_NO,) = session.run(None, inputs.of(invented_rows(scorer.encoder, rows, seed=rows)))
        found.append(np.abs(probability_NO - _probabilities(scorer, rows)).max())
    return float(np.max(found))


def _probabilities(scorer: Scorer, rows: int) -> npt.NDArray[np.float64]:
    """A model's probabilities of invented rows, rows x outputs."""
    encoded = invented_rows(scorer.encoder, rows, seed=rows)
    window = Window.of_parts(encoded.parts, scorer.encoder.spec)
    probability_NO: npt.NDArray[np.float64] = scorer.predictor.probabilities(window).double().numpy()
    return probability_NO


def _write_client(folder: Path) -> None:
    shutil.copyfile(Path(__file__).with_name(CLIENT), folder / CLIENT)
    package, ignored = Path(features.__file__).parent, shutil.ignore_patterns("__pycache__")
    (folder / package.name).mkdir()
    for name in _CLIENT_FILES:
        shutil.copyfile(package / name, folder / package.name / name)
    shutil.copytree(package / _CLIENT_PACKAGE, folder / package.name / _CLIENT_PACKAGE, ignore=ignored)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words about itself: packages of no use here, and its own deprecated calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

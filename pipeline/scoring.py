"""Raw rows to probabilities, with nothing but the files of a model: what a served model runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file

from features.encoder import Encoder
from models.portable import PortableEmbedding
from models.shared_bottom import SharedBottom
from pipeline.windows import Window

# Name of a model's files among the artifacts of its MLflow model.
ARTIFACT = "scorer"
_MODEL, _WEIGHTS, _ENCODER = "model.json", "weights.safetensors", "encoder"


@dataclass(frozen=True)
class Scorer:
    """A trained model and the encoder of its training rows, in plain torch.

    Args:
        encoder: Encodes raw rows as the training rows were.
        model: The network, in evaluation mode.
        tasks: What its outputs predict, in order.
    """

    encoder: Encoder
    model: SharedBottom
    tasks: tuple[str, ...]

    @staticmethod
    def write(
        folder: Path, *, encoder: Path, weights: Path, tasks: tuple[str, ...], network: dict[str, object]
    ) -> None:
        """Collect the files of a model: the encoder's folder, safetensors weights and the network's shape in JSON."""
        folder.mkdir(parents=True)
        shutil.copytree(encoder, folder / _ENCODER)
        shutil.copyfile(weights, folder / _WEIGHTS)
        (folder / _MODEL).write_text(json.dumps({"tasks": tasks, "network": network}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Scorer:
        """Read what :meth:`write` collected."""
        encoder, content = Encoder.load(folder / _ENCODER), json.loads((folder / _MODEL).read_text())
        model = network(encoder, content["tasks"], content["network"], folder / _WEIGHTS)
        return cls(encoder, model, tuple(content["tasks"]))

    def score(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Probability of each task for each raw row, in float64.

        Raises:
            InputError: If feature columns are missing or of a wrong type. Labels are not needed.
        """
        # A column without a single value has whatever type its table format gave it, which means nothing.
        untyped = [name for name in rows.columns if rows.get_column(name).null_count() == rows.height]
        known = rows.with_columns(pl.lit(None).alias(name) for name in untyped)
        encoded = self.encoder.encode_features(known.lazy()).collect()
        window = Window.of(encoded, self.encoder.spec, ())
        batch = window.batch(0, len(window))
        with torch.no_grad():
            probability_BT = self.model(batch.bags, batch.value_BV).sigmoid()
        return pl.from_numpy(probability_BT.double().numpy(), schema=list(self.tasks))


def network(encoder: Encoder, tasks: Sequence[str], shape: Mapping[str, Any], weights: Path) -> SharedBottom:
    """A trained network in plain torch, in evaluation mode.

    Args:
        encoder: Of its rows.
        tasks: What its outputs predict.
        shape: Its layers, as :attr:`pipeline.config.ModelConfig.network` gives them.
        weights: A safetensors file.
    """
    model = SharedBottom(
        PortableEmbedding(encoder.tables()), values=len(encoder.spec.value_features), tasks=len(tasks), **shape
    )
    model.load_state_dict(load_file(weights))
    return model.eval()

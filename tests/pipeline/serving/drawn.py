"""Networks of every architecture with drawn weights, as scorers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from features.encoder import Encoder
from models.architectures import ARCHITECTURES
from models.architectures.base_config import ArchitectureConfig
from models.embedding.portable import PortableEmbedding
from models.embedding.precisions import FLOAT32, Precision
from models.interactions import INTERACTIONS
from pipeline.evaluation.calibration import Isotonic, Platt
from pipeline.serving.kinds.network import Network
from pipeline.serving.scorer import Scorer

TASKS = ("income", "marital", "education")  # those of the examples of architectures


def examples() -> dict[str, ArchitectureConfig]:
    """Every architecture alone, of members, over each interaction, and detached."""
    alone = {kind: config.example() for kind, config in ARCHITECTURES.items()}
    found = dict(alone)
    for place, (kind, one) in enumerate(alone.items()):
        interaction = [*INTERACTIONS.values()][place % len(INTERACTIONS)]
        found[f"{kind} over {interaction.__name__}"] = one.model_copy(update={"interaction": interaction.example()})
        found[f"{kind} of members"] = one.model_copy(update={"ensemble": 3})
        if "detach" in type(one).model_fields:
            found[f"{kind} detached"] = one.model_copy(update={"detach": True})
    found["conditional"] = alone["esmm"].model_copy(update={"conditional": True})
    return found


EXAMPLES = examples()


def scorer_of(encoder: Encoder, predictor: Any, outputs: Sequence[str]) -> Scorer:
    return Scorer(encoder, predictor, tuple(outputs), "drawn")


def network(
    encoder: Encoder,
    config: ArchitectureConfig,
    calibrators: Sequence[Platt | Isotonic] = (),
    tables: Precision = FLOAT32,
) -> Network:
    """A network of drawn weights, large enough for probabilities far from a half."""
    values = len(encoder.spec.value_features)
    embedding = PortableEmbedding(config.tables(encoder.tables(), TASKS))
    model = config.build(embedding, values=values, tasks=TASKS, encoded=encoder.encoded_values())
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    embedding.join(tables)
    model.eval().requires_grad_(requires_grad=False)
    return Network(model, tuple(config.further_outputs(TASKS)), calibrators)

"""A network: all tasks from one file of weights. Folders of before the other kinds hold networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from features.encoder import Encoder
from features.errors import InputError
from features.request.encoder import Encoded
from features.spec import FeatureSpec
from models.architectures import parse_architecture
from models.architectures.base import Architecture
from models.architectures.base_config import ArchitectureConfig
from models.embedding.cut import Bags
from models.embedding.exported import ExportedEmbedding
from models.embedding.portable import PortableEmbedding
from models.embedding.precisions import FLOAT32, Precision
from pipeline.data.windows import Window
from pipeline.evaluation.calibration import Calibrator, Isotonic, Platt, calibrated
from pipeline.serving.calibration_graph import calibrated_graph
from pipeline.serving.candidates import CandidateNetwork
from pipeline.serving.graph_rows import GraphRows, RowGraph
from pipeline.serving.kinds.base import Content, OfCandidates, Packed, Predictor

WEIGHTS = "weights.safetensors"
_BATCH = 8192


class NetworkContent(Content):
    """What ``model.json`` says of a network.

    Args:
        network: :attr:`models.architectures.base_config.ArchitectureConfig.layers`; without a ``kind``, of a shared
            bottom.
        calibration: Task to its calibrator, for every task; empty, and left out of the file, without calibration.
        kind: ``"network"``; left out of the file, as folders of before the other kinds have none.
    """

    network: dict[str, Any]
    calibration: dict[str, Calibrator] = Field(default_factory=dict)
    kind: Literal["network"] = "network"

    @field_validator("network")
    @classmethod
    def _is_architecture(cls, network: dict[str, Any]) -> dict[str, Any]:
        parse_architecture(network)
        return network

    @model_validator(mode="after")
    def _calibrates_every_task(self) -> Self:
        if self.calibration and {*self.calibration} != {*self.tasks}:
            tasks, found = (", ".join(sorted(names)) for names in (self.tasks, self.calibration))
            raise ValueError(f"`calibration` should be of every task ({tasks}), found {found}")
        if self.calibration and parse_architecture(self.network).further_outputs(self.tasks):
            raise ValueError("`calibration` is of the tasks alone, and this network gives further outputs")
        return self

    @property
    def files(self) -> Sequence[str]:
        """See :attr:`pipeline.serving.kinds.base.Content.files`."""
        return [WEIGHTS]

    def load(self, files: Mapping[str, Path], encoder: Encoder, tables: Precision = FLOAT32) -> Network:
        """See :meth:`pipeline.serving.kinds.base.Content.load`."""
        architecture = parse_architecture(self.network)
        model = load_network(encoder, self.tasks, architecture, files[WEIGHTS], tables)
        calibrators = [self.calibration[task] for task in self.tasks] if self.calibration else []
        return Network(model, tuple(architecture.further_outputs(self.tasks)), calibrators)

    def written(self) -> str:
        """See :meth:`pipeline.serving.kinds.base.Content.written`."""
        return self.model_dump_json(indent=1, exclude={"kind"} if self.calibration else {"kind", "calibration"})

    @classmethod
    def packed(
        cls,
        *,
        weights: Path,
        tasks: Sequence[str],
        architecture: ArchitectureConfig,
        calibrators: Sequence[Platt | Isotonic] = (),
    ) -> Packed:
        """A trained network.

        Args:
            weights: Its safetensors weights.
            tasks: The tasks that its outputs predict.
            architecture: Its architecture.
            calibrators: The calibrator of each task; empty for none.
        """
        calibration = dict(zip(tasks, calibrators, strict=True)) if calibrators else {}
        content = cls(tasks=tuple(tasks), network=architecture.layers, calibration=calibration)
        return Packed(content, {WEIGHTS: weights})


@dataclass(frozen=True)
class Network(Predictor):
    """A network in plain torch.

    Args:
        model: The network, in evaluation mode.
        outputs_beside: The names of its further outputs.
        calibrators: The calibrator of each task; empty for none.
    """

    model: Architecture
    outputs_beside: tuple[str, ...] = ()
    calibrators: Sequence[Platt | Isotonic] = ()

    @property
    def further(self) -> tuple[str, ...]:
        """See :attr:`pipeline.serving.kinds.base.Predictor.further`."""
        return self.outputs_beside

    @property
    def embeddings(self) -> Iterable[PortableEmbedding]:
        """See :attr:`pipeline.serving.kinds.base.Predictor.embeddings`."""
        embedding = self.model.embedding
        assert isinstance(embedding, PortableEmbedding), "load_network has made it"
        return (embedding,)

    def probabilities(self, window: Window) -> Tensor:
        """See :meth:`pipeline.serving.kinds.base.Predictor.probabilities`."""
        return predicted(self.model.served_logits, window, self.calibrators)

    def for_candidates(self, spec: FeatureSpec) -> OfCandidates | None:
        """See :meth:`pipeline.serving.kinds.base.Predictor.for_candidates`."""
        if self.outputs_beside or not CandidateNetwork.can_split(self.model):
            return None
        split = CandidateNetwork(self.model, spec)

        def probabilities(encoded: Encoded) -> Tensor | None:
            with torch.inference_mode():
                logit_NT = split.logits(encoded)
                return None if logit_NT is None else _probabilities(logit_NT, self.calibrators)

        return probabilities

    def graph(self) -> RowGraph:
        """See :meth:`pipeline.serving.kinds.base.Predictor.graph`."""
        return _NetworkGraph(self)


class _NetworkGraph(RowGraph):
    def __init__(self, network: Network) -> None:
        super().__init__()
        (embedding,) = network.embeddings
        # The tables are not copied: what takes their embedding's place in the copy reads the same ones.
        self.model = deepcopy(network.model, {id(embedding): ExportedEmbedding(embedding)})
        self._calibrators = network.calibrators

    def forward(self, rows: GraphRows) -> Tensor:
        """See :meth:`pipeline.serving.graph_rows.RowGraph.forward`."""
        logit_BO = self.model.served_logits(rows.bags, rows.value_BV)
        if not self._calibrators:
            return logit_BO.sigmoid().double()
        columns = zip(self._calibrators, logit_BO.double().unbind(1), strict=True)
        return torch.stack([calibrated_graph(one, logit_B) for one, logit_B in columns], dim=1)


def predicted(
    logits: Callable[[Bags, Tensor], Tensor], window: Window, calibrators: Sequence[Platt | Isotonic] = ()
) -> Tensor:
    """Probabilities, rows x outputs, of encoded rows, some rows at a time.

    Args:
        logits: A network in evaluation mode, for the tasks' logits, or its method for those of all that is served.
        window: The rows, at least one.
        calibrators: The calibrator of each output; empty for the sigmoid of the logits.
    """
    starts = range(0, len(window), _BATCH)
    batches = (window.batch(start, min(start + _BATCH, len(window))) for start in starts)
    with torch.inference_mode():
        logit_NO = torch.cat([logits(batch.bags, batch.value_BV) for batch in batches])
        return _probabilities(logit_NO, calibrators)


def _probabilities(logit_NO: Tensor, calibrators: Sequence[Platt | Isotonic]) -> Tensor:
    return torch.from_numpy(calibrated(logit_NO.numpy(), calibrators)) if calibrators else logit_NO.sigmoid()


def load_network(
    encoder: Encoder,
    tasks: Sequence[str],
    architecture: ArchitectureConfig,
    weights: Path,
    tables: Precision = FLOAT32,
) -> Architecture:
    """A trained network in plain torch, in evaluation mode.

    Args:
        encoder: The encoder of its rows.
        tasks: The tasks that its outputs predict.
        architecture: Its architecture and layers.
        weights: A safetensors file.
        tables: The precision in which the tables are held.

    Raises:
        InputError: If the weights belong to another network, are not finite or too large for the precision. No memory
            is allocated for them then.
    """
    values, encoded = len(encoder.spec.value_features), encoder.encoded_values()
    try:
        with torch.device("meta"):  # nothing is allocated before the declared sizes match the file
            embedding = PortableEmbedding(architecture.tables(encoder.tables(), tasks))
            model = architecture.build(embedding, values=values, tasks=tasks, encoded=encoded)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{weights} belongs to a network whose declared sizes exceed those of any tensor") from error
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    with safe_open(weights, framework="pt") as file:
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        shapes = {name: part.get_shape() for name, part in found.items() if part.get_dtype() == "F32"}
    if shapes != wanted:
        names = [name for name in dict.fromkeys([*wanted, *found]) if shapes.get(name) != wanted.get(name)]
        lines = [
            f"`{n}` is {shapes.get(n, 'not there in float32')}, expected {wanted.get(n, 'nothing')}" for n in names
        ]
        raise InputError.of(f"{weights} holds the weights of another network", lines[:10])
    state = load_file(weights)
    if infinite := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise InputError.of(f"{weights} holds NaN or infinite weights; train the run again", infinite[:10])
    # Loaded tensors are views of the file, which would stay mapped as long as one is left: join() copies the tables.
    state = {name: value if name.startswith("embedding.") else value.clone() for name, value in state.items()}
    model.load_state_dict(state, assign=True)
    embedding.join(tables)
    return model.eval().requires_grad_(requires_grad=False)

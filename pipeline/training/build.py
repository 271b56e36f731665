"""Builds the parts of a run before its first step: network, optimizer, schedule, batches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
from torch.optim.lr_scheduler import LambdaLR

from features.encoder import Encoder
from features.errors import InputError
from features.spec import FeatureSpec
from gradops import MultiTaskOptimizer
from gradops.gram_estimator import GramEstimator
from gradops.group import Alone, Group
from gradops.methods import parse
from gradops.rotation import Rotation, Rotations
from models.architectures.base import Architecture
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.embedding.fused import FusedEmbedding
from models.embedding.sharded import ShardedEmbedding
from models.embedding.torchrec import TorchRecEmbedding
from models.table_optimizers.names import choices
from pipeline.config.run import RunConfig
from pipeline.config.train import TrainConfig
from pipeline.data.batches import Batches
from pipeline.data.prepared import Prepared
from pipeline.runs.run import architecture_of, tables_of
from pipeline.training.epoch_so_far import EpochSoFar
from pipeline.training.known_ids import KnownIds
from pipeline.training.negatives import NegativeSampling
from pipeline.training.optimizers import optimizer_of
from pipeline.training.schedules import SCHEDULES, Regularisation
from pipeline.training.task_epochs import TaskEpochs
from pipeline.training.task_weights import task_weights
from pipeline.training.trainer import Trainer
from pipeline.training.warm_start import warm_start
from pipeline.training.weight_average import WeightAverage

EVALUATION_BATCH = 8192  # rows


def build_model(
    encoder: Encoder,
    tasks: Sequence[str],
    architecture: ArchitectureConfig,
    seed: int,
    rotations: Rotations | None = None,
    *,
    embedding: Embedding | None = None,
) -> Architecture:
    """The network to train, initialised from a seed.

    Args:
        encoder: The encoder, which has the tables and the numeric values.
        tasks: The tasks that it predicts.
        architecture: The network's architecture and layers.
        seed: Seed of the initialisation.
        rotations: The rotations through which tasks read the shared vector, if there are some.
        embedding: The embedding; TorchRec's plain one unless given.
    """
    model = architecture.build(
        embedding or TorchRecEmbedding(architecture.tables(encoder.tables(), tasks), weighted=encoder.spec.weighted),
        values=len(encoder.spec.value_features),
        tasks=tasks,
        head_transform=rotations,
        encoded=encoder.encoded_values(),
    )
    model.initialise(torch.Generator().manual_seed(seed), architecture.embedding_std)
    return model


def embedding_of(encoder: Encoder, config: RunConfig, group: Group = Alone()) -> Embedding:
    """The embedding that a config describes.

    Raises:
        InputError: If the kernel cannot hold one of the tables, or several ranks would share tables that are not
            fused.
    """
    train, tables, weighted = config.train, tables_of(config, encoder), encoder.spec.weighted
    if train.table_kernel == "plain":
        if group.size > 1:
            raise _not_fused(train, group.size)
        return TorchRecEmbedding(tables, train.table_optimizer, weighted=weighted)
    if group.size == 1:
        return FusedEmbedding(tables, train.table_optimizer)
    sharding, device = config.sharding.plan(), device_of(train.device)
    return ShardedEmbedding(tables, train.table_optimizer, sharding, weighted=weighted, device=device)


def _not_fused(config: TrainConfig, ranks: int) -> InputError:
    possible = ", ".join(f'"{name}"' for name in choices("fused", config.device)) or "none"
    fix = f'set `train.table_kernel = "fused"` and `train.table_optimizer`, which is one of {possible} on this device'
    return InputError(f'{ranks} ranks share tables in fused kernels, found `train.table_kernel = "plain"`: {fix}')


def trainer_of(
    config: RunConfig, prepared: Prepared, group: Group = Alone(), evaluation_batch: int = EVALUATION_BATCH
) -> Trainer:
    """A run's trainer before its first step; among several ranks, this rank's.

    Args:
        config: The run.
        prepared: Its data.
        group: The ranks that train together.
        evaluation_batch: Rows that are evaluated at a time.
    """
    train, encoder, tasks = config.train, prepared.encoder(), list(config.tasks)
    sizes = {"train": train.batch_size, "val": evaluation_batch, "test": evaluation_batch}
    device, splits = device_of(train.device), _splits(config, prepared, encoder.spec, sizes, group)
    method = parse(train.method)
    architecture = architecture_of(config)
    rotations = _rotations(method.rotation, len(tasks), architecture, device)
    embedding = embedding_of(encoder, config, group)
    model = build_model(encoder, tasks, architecture, train.seed, rotations, embedding=embedding)
    if train.prior_bias:
        model.start_at([prepared.prevalence(task) for task in tasks])
    if train.start_from:
        warm_start(model, config, prepared, group)
    model = model.to(device)
    optimizer = MultiTaskOptimizer(
        optimizer_of(model, train),
        method,
        shared=model.shared_parameters(),
        estimator=GramEstimator(
            measure=train.measure, share=train.gram_share, every=train.gram_every, smoothing=train.gram_smoothing
        ),
        rotations=rotations,
        seed=train.seed,
        group=group,
    )
    total = _total(train, len(splits["train"]))
    schedule = LambdaLR(optimizer, lambda step: SCHEDULES[train.schedule](step, total))
    regularisation = Regularisation(model, optimizer, train, total)
    ids = KnownIds(train, encoder, prepared, group.rank)
    weight_T = torch.tensor(task_weights(config, prepared), device=device)
    return Trainer(
        train,
        tasks,
        device,
        model,
        optimizer,
        schedule,
        splits,
        weight_T,
        EpochSoFar.of(len(tasks)),
        WeightAverage(model, train),
        regularisation,
        ids,
        NegativeSampling(train.keep_negatives),
        TaskEpochs.of(model, train, tasks, len(encoder.spec.value_features)),
        group,
    )


def _splits(
    config: RunConfig, prepared: Prepared, spec: FeatureSpec, sizes: Mapping[str, int], group: Group
) -> dict[str, Batches]:
    """The batches of each split: this rank's share of them."""
    train, shard = config.train, (group.rank, group.size)
    return {
        name: Batches(
            prepared.folder / name,
            spec,
            config.tasks,
            batch_size=size,
            seed=train.seed,
            shuffle_shards=train.shuffle_shards,
            shard=shard,
            keep_negatives=train.keep_negatives if name == "train" else 1.0,
        )
        for name, size in sizes.items()
    }


def _rotations(
    rotation: Rotation | None, tasks: int, architecture: ArchitectureConfig, device: torch.device
) -> Rotations | None:
    if rotation is None:
        return None
    assert architecture.head_width is not None, "a config refuses rotations where there is no vector to turn"
    # Moved to its device before the optimizer is made: a leader keeps the tensors that it finds.
    return Rotations(rotation, tasks=tasks, width=architecture.head_width).to(device)


def device_of(name: str) -> torch.device:
    """The device of a config, if this machine has it; each of several ranks on a machine has its own GPU.

    Raises:
        InputError: If it cannot be used here.
    """
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"`train.device = {name}` cannot be used here ({reason}); see `gradops doctor`") from None
    return torch.device(name)


def _total(config: TrainConfig, steps_per_epoch: int) -> int:
    """Number of steps if no early stop ends the run."""
    steps = config.epochs * steps_per_epoch
    return min(steps, config.max_steps or steps)

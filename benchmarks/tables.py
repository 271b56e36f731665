"""Step time and memory by table rows, for each kernel and table optimizer: `python -m benchmarks.tables`.

Four tables of width 16 under a bottom of 128 units, three tasks, uniform weights, batch 2048, one thread; ids are
skewed like those of items. All sizes, kernels and optimizers are interleaved round by round in one process, and the
median step is printed in milliseconds with its ratio to the smallest size. Memory is the peak of a separate process
over its imports, in MB, and is printed next to the size of the weights.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch

from features.encoder import Table
from gradops import MultiTaskOptimizer
from gradops.methods import Uniform
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags
from models.embedding.fused import FusedEmbedding
from models.embedding.torchrec import TorchRecEmbedding
from models.loss import cross_entropy, label_shares
from models.table_optimizers.names import choices
from pipeline.config.train import TrainConfig
from pipeline.training.optimizers import optimizer_of

ROWS = (10_000, 100_000, 1_000_000)
TABLES, WIDTH, TASKS, BATCH, ROUNDS = 4, 16, 3, 2048, 11
Kernel = Literal["plain", "fused"]
Case = tuple[Kernel, str, int]
KERNELS: tuple[Kernel, ...] = ("plain", "fused")
CASES: list[Case] = [(kernel, name, rows) for kernel in KERNELS for name in choices(kernel, "cpu") for rows in ROWS]


@dataclass
class Network:
    """A model with a number of rows in each table, and its optimizer."""

    rows: int
    model: SharedBottom
    optimizer: MultiTaskOptimizer

    @classmethod
    def of(cls, kernel: Kernel, name: str, rows: int) -> Network:
        """A network for one kernel and table optimizer."""
        tables = [Table(f"t{i}", rows, WIDTH, (f"t{i}",)) for i in range(TABLES)]
        embedding = FusedEmbedding(tables, name) if kernel == "fused" else TorchRecEmbedding(tables, name)
        model = SharedBottom(embedding, values=0, tasks=TASKS, bottom=(128,))
        optimizer = optimizer_of(model, TrainConfig(table_kernel=kernel, table_optimizer=name))
        return cls(rows, model, MultiTaskOptimizer(optimizer, Uniform(), shared=model.shared_parameters()))

    def step(self, seed: int) -> float:
        """Seconds of one step."""
        generator = torch.Generator().manual_seed(seed)
        ids_N = (self.rows * torch.rand(TABLES * BATCH, generator=generator) ** 3).to(torch.int32)
        bags = Bags(ids_N, torch.ones(TABLES * BATCH, dtype=torch.int32))
        labels_BT = torch.randint(0, 2, (BATCH, TASKS), generator=generator).float()
        started = time.perf_counter()
        cut = self.model.cut(bags)
        logits_BT, views = self.model.through(cut.leaf_BE, torch.empty(BATCH, 0))
        losses_T = cross_entropy(logits_BT, labels_BT, label_shares(labels_BT))
        self.optimizer.step(losses_T, features=views, pooled=cut)
        return time.perf_counter() - started


def main() -> None:
    """Print one line a kernel, optimizer and size."""
    torch.set_num_threads(1)
    # Measured first: a process begins with the peak of the process that starts it.
    peaks = {case: _peak(*case) for case in CASES}
    networks = {case: Network.of(*case) for case in CASES}
    taken: dict[Case, list[float]] = {case: [] for case in CASES}
    for turn in range(ROUNDS):
        for case, network in networks.items():
            taken[case].append(1000 * network.step(turn))
    times = {case: median(times) for case, times in taken.items()}
    print(f"{'kernel':8}{'table optimizer':18}{'rows':>10}{'ms a step':>11}{'ratio':>8}{'peak MB':>9}{'weights':>9}")
    for (kernel, name, rows), milliseconds in times.items():
        ratio, weights = milliseconds / times[kernel, name, ROWS[0]], 4 * TABLES * rows * WIDTH / 1e6
        peak = peaks[kernel, name, rows]
        print(f"{kernel:8}{name:18}{rows:10,}{milliseconds:11.2f}{ratio:8.2f}{peak:9.0f}{weights:9.0f}")


def _peak(kernel: Kernel, name: str, rows: int) -> float:
    """Megabytes that three steps add to a process, at its peak and over its imports."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_added, (kernel, name, rows))


def _added(kernel: Kernel, name: str, rows: int) -> float:
    Network.of(kernel, name, 1000).step(0)  # libraries allocate at their first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network = Network.of(kernel, name, rows)
    for turn in range(3):
        network.step(turn)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000


if __name__ == "__main__":
    main()

"""What gradient surgery adds to a step: `python -m benchmarks.step [census|clicklog] [--threads 2] [--rounds 30]`.

Every way makes the same step of the same network with weights of its own: forward, gradients, optimizer. The ways are
interleaved round by round in one process; printed are the median milliseconds, the median ratio to the uniform step of
the same round, and the ratio that floating-point operations alone would give. Ways:

- ours: exact, at the features, and with rotations; tables by row-wise Adagrad, whose gradients are sparse;
- naive: T full backward passes over dense tables, then one step of plain descent, the cheapest optimizer;
- TorchJD by ``jac_to_grad``, over dense tables and with plain descent, too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from torchjd.aggregation import PCGrad as TorchJDPCGrad
from torchjd.autojac import backward, jac_to_grad

from features.encoder import Table
from gradops import Gauge, MultiTaskOptimizer
from gradops.gauge import Measure
from gradops.linalg import gramian
from gradops.methods import GradOPS, parse
from gradops.rotation import Rotations
from models.cut import Bags
from models.embedding import TorchRecEmbedding
from models.loss import masked_cross_entropy
from models.shared_bottom import SharedBottom
from pipeline.config import TrainConfig
from pipeline.optimizers import optimizer_of


@dataclass(frozen=True)
class Setting:
    """A network and its batch.

    Args:
        rows: Rows of each table; one feature reads each.
        width: Of the tables.
        bottom: Units of the shared layers.
        batch: Rows a step.
        tasks: Number of tasks.
    """

    rows: tuple[int, ...]
    width: int
    bottom: tuple[int, ...]
    batch: int
    tasks: int = 3

    def model(self, *, sparse: bool, rotations: Rotations | None = None) -> SharedBottom:
        """The network, from one seed."""
        tables = [Table(f"t{i}", rows, self.width, (f"t{i}",)) for i, rows in enumerate(self.rows)]
        embedding = TorchRecEmbedding(tables, sparse=sparse)
        model = SharedBottom(
            embedding, values=0, tasks=self.tasks, bottom=self.bottom, dropout=0.0, head_transform=rotations
        )
        model.initialise(torch.Generator().manual_seed(0), embedding_std=0.05)
        return model

    def data(self, seed: int) -> tuple[Bags, Tensor]:
        """A batch with ids as skewed as items are, and labels."""
        generator = torch.Generator().manual_seed(seed)
        shares_FB = torch.rand(len(self.rows), self.batch, generator=generator) ** 3
        ids_N = (shares_FB * torch.tensor(self.rows)[:, None]).to(torch.int32).flatten()
        labels_BT = torch.randint(0, 2, (self.batch, self.tasks), generator=generator).float()
        return Bags(ids_N, torch.ones(len(ids_N), dtype=torch.int32)), labels_BT

    @property
    def floor(self) -> float:
        """Multiplications of an exact step's dense layers beside a uniform one's: forward once, backward T times."""
        return (1 + 2 * self.tasks) / 3


SETTINGS = {
    "census": Setting((50,) * 40, 8, (192, 192), 1024),
    "clicklog": Setting((1_000_000,) * 2 + (100_000,) * 44, 16, (1024, 512, 256, 128), 2048),
}
OURS: dict[str, tuple[str, Measure]] = {
    "uniform": ("uniform", "parameters"),
    "gradops, exact": ("gradops(alpha=-1)", "parameters"),
    "pcgrad, exact": ("pcgrad", "parameters"),
    "gradops, features": ("gradops(alpha=-1)", "features"),
    "rotograd, cayley": ("rotograd + rotation(map='cayley')", "features"),
}
Step = Callable[[Bags, Tensor], object]


def ours(setting: Setting, method: str, measure: Measure) -> Step:
    """A step of our optimizer."""
    chosen = parse(method)
    rotations = None
    if chosen.rotation is not None:
        rotations = Rotations(chosen.rotation, tasks=setting.tasks, width=setting.bottom[-1])
    model = setting.model(sparse=True, rotations=rotations)
    config = TrainConfig(table_optimizer="rowwise_adagrad")
    optimizer = MultiTaskOptimizer(
        optimizer_of(model, config),
        chosen,
        shared=model.shared_parameters(),
        gauge=Gauge(measure=measure),
        rotations=rotations,
    )

    def step(bags: Bags, labels_BT: Tensor) -> object:
        trace = model.trace(bags, torch.empty(len(labels_BT), 0))
        losses_T = masked_cross_entropy(trace.logits_BT, labels_BT)
        return optimizer.step(losses_T, features=trace.views, pooled=trace.cut)

    return step


def naive(setting: Setting) -> Step:
    """Every task's whole gradient, tables included, and GradOPS' combination of them."""
    model, method = setting.model(sparse=False), GradOPS(alpha=-1.0)
    shared = [*model.embedding.tables(), *model.shared_parameters()]
    descent = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step(bags: Bags, labels_BT: Tensor) -> object:
        losses_T = masked_cross_entropy(model(bags, torch.empty(len(labels_BT), 0)), labels_BT)
        descent.zero_grad()
        rows = []
        for loss in losses_T:
            loss.backward(retain_graph=True)
            rows.append([p.grad for p in shared])
            for parameter in shared:
                parameter.grad = None
        blocks = [gramian(torch.stack([g.flatten() for g in task])) for task in zip(*rows, strict=True)]
        gram_TT = torch.stack(blocks).sum(0)
        weights_T, _ = method.weights(gram_TT, losses_T.detach(), method.init(len(rows), torch.Generator()))
        for parameter, *grads in zip(shared, *rows, strict=True):
            parameter.grad = sum(w.float() * g for w, g in zip(weights_T, grads, strict=True))
        return descent.step()

    return step


def torchjd(setting: Setting) -> Step:
    """TorchJD's Jacobians of all shared parameters and its PCGrad of them."""
    model, aggregator = setting.model(sparse=False), TorchJDPCGrad()
    shared = [*model.embedding.tables(), *model.shared_parameters()]
    descent = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step(bags: Bags, labels_BT: Tensor) -> object:
        losses_T = masked_cross_entropy(model(bags, torch.empty(len(labels_BT), 0)), labels_BT)
        descent.zero_grad()
        towers = list(model.towers.parameters())
        for parameter, gradient in zip(
            towers, torch.autograd.grad(losses_T.sum(), towers, retain_graph=True), strict=True
        ):
            parameter.grad = gradient
        backward(list(losses_T), inputs=shared, parallel_chunk_size=1)  # in turn: batched, bags fall back to a loop
        jac_to_grad(shared, aggregator, optimize_gramian_computation=True)
        return descent.step()

    return step


def main() -> None:
    """Print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", choices=SETTINGS, nargs="?", default="census")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    setting = SETTINGS[chosen.setting]
    ways = {name: ours(setting, *options) for name, options in OURS.items()}
    ways |= {"naive": naive(setting), "torchjd, pcgrad": torchjd(setting)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(chosen.rounds + 3):
        bags, labels_BT = setting.data(turn)
        for name, step in ways.items():
            started = time.perf_counter()
            step(bags, labels_BT)
            if turn >= 3:  # the first steps allocate
                taken[name].append(1000 * (time.perf_counter() - started))
    print(f"{chosen.setting}, {chosen.threads} thread(s); floor of the dense layers {setting.floor:.2f}")
    print(f"{'':20}{'ms':>10}{'of uniform':>12}")
    for name, times in taken.items():
        ratio = median(a / b for a, b in zip(times, taken["uniform"], strict=True))
        print(f"{name:20}{median(times):10.2f}{ratio:12.2f}")


if __name__ == "__main__":
    main()

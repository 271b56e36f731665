"""Time of each method's weights, one thread: `python -m benchmarks.weights`.

What a method adds to a step beside the backward passes. Methods are interleaved round by round in one process; the
median is printed in milliseconds, and as a multiple of uniform scaling, whose weights are a constant.
"""

from __future__ import annotations

import time
from statistics import median

import torch

from gradops.base import GramianMethod, State
from gradops.linalg import gramian
from gradops.methods import METHODS

TASKS = (3, 8, 32)
ROUNDS = 200


def main() -> None:
    """Print one line a method."""
    torch.set_num_threads(1)
    columns = {tasks: _medians(tasks) for tasks in TASKS}
    print("method          " + "".join(f"   T = {tasks:<2}  ms  x uniform" for tasks in TASKS))
    for name in METHODS:
        cells = (f"{column[name]:12.4f}{column[name] / column['uniform']:11.1f}" for column in columns.values())
        print(f"{name:16}" + "".join(cells))


def _medians(tasks: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    jacobians = [torch.randn(tasks, 200, generator=generator, dtype=torch.float64) for _ in range(20)]
    grams = [gramian(jac_TP - 0.3 * jac_TP.mean(0)) for jac_TP in jacobians]
    methods = {name: method() for name, method in METHODS.items()}
    states = {name: method.init(tasks, generator) for name, method in methods.items()}
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(ROUNDS):
        for name, method in methods.items():
            seconds, states[name] = _timed(method, grams[turn % len(grams)], states[name])
            taken[name].append(1000 * seconds)
    return {name: median(times) for name, times in taken.items()}


def _timed(method: GramianMethod, gram_TT: torch.Tensor, state: State) -> tuple[float, State]:
    losses_T = torch.ones(len(gram_TT))
    started = time.perf_counter()
    _, state = method.weights(gram_TT, losses_T, state)
    return time.perf_counter() - started, state


if __name__ == "__main__":
    main()

"""Time and accuracy of each method's weights, one thread: `python -m benchmarks.weights`.

The time is that which a method adds to a step's backward passes: methods are interleaved round by round in one process,
and the median of the thread's processor time is printed in milliseconds. The error is the distance of its update from
that of the reference written from its paper (tests/gradops/reference.py), the largest over random steps, as a share of
the update's length.
"""

from __future__ import annotations

import time
from statistics import median

import torch
from threadpoolctl import threadpool_limits

from gradops.base import GramianMethod, State
from gradops.linalg import gramian
from tests.gradops.agreement import PAIRS, disagreement

TIMED = (3, 8, 32)
COMPARED = (3, 8)
ROUNDS = 200


def main() -> None:
    """Print one line a method."""
    torch.set_num_threads(1)
    with threadpool_limits(1):  # numpy's, too
        columns = [_medians(tasks) for tasks in TIMED]
    print(f"{'':16}{'milliseconds':>{10 * len(TIMED)}}{'error':>{10 * len(COMPARED)}}")
    print(f"{'method':16}" + "".join(f"{f'T = {tasks}':>10}" for tasks in (*TIMED, *COMPARED)))
    for name in PAIRS:
        times = "".join(f"{column[name]:10.4f}" for column in columns)
        print(f"{name:16}{times}" + "".join(f"{disagreement(name, tasks):10.0e}" for tasks in COMPARED))


def _medians(tasks: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    jacobians = [torch.randn(tasks, 200, generator=generator, dtype=torch.float64) for _ in range(20)]
    grams = [gramian(jac_TP - 0.3 * jac_TP.mean(0)) for jac_TP in jacobians]
    methods = {name: pair.method(tasks) for name, pair in PAIRS.items()}
    states = {name: method.start(tasks, generator) for name, method in methods.items()}
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(ROUNDS):
        for name, method in methods.items():
            seconds, states[name] = _timed(method, grams[turn % len(grams)], states[name])
            taken[name].append(1000 * seconds)
    return {name: median(times) for name, times in taken.items()}


def _timed(method: GramianMethod, gram_TT: torch.Tensor, state: State) -> tuple[float, State]:
    losses_T = torch.ones(len(gram_TT))
    started = time.thread_time()
    _, state = method.step(gram_TT, losses_T, state)
    return time.thread_time() - started, state


if __name__ == "__main__":
    main()

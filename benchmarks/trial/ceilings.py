"""The AUCs of the true probabilities on the test rows of each seed: `python -m benchmarks.trial.ceilings --folder F`.

They are written to `docs/results/trial/DATA/truth.json` for every data set with finished runs whose truth is known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.trial.datasets import DATASETS, Dataset
from benchmarks.trial.intervals import Floats
from benchmarks.trial.plan import FRESH_SEEDS, SEEDS
from benchmarks.trial.records import RESULTS
from benchmarks.trial.truth import expected_aucs

_FILE = "truth.json"


def ceilings(folder: Path, dataset: Dataset, seeds: Sequence[int]) -> Floats | None:
    """The ceilings, seeds x tasks; None where the truth is not known."""
    path = folder / dataset.name / _FILE
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    result: Floats = np.array([found[str(seed)] for seed in seeds])
    return result


def main() -> None:
    """Write the ceilings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/trial"), help="the trial's folder for data")
    folder = parser.parse_args().folder
    for dataset in DATASETS.values():
        if dataset.is_redrawn and (RESULTS / dataset.name).exists():
            path = RESULTS / dataset.name / _FILE
            path.write_text(json.dumps(_measured(dataset, folder)) + "\n")
            print(path)


def _measured(dataset: Dataset, folder: Path) -> dict[int, list[float]]:
    found = {}
    for seed in (*SEEDS, *FRESH_SEEDS):
        chance_NT = dataset.drawn(dataset.draw_of(seed), folder).chance_NT
        assert chance_NT is not None
        found[seed] = [round(auc, 5) for auc in expected_aucs(chance_NT, chance_NT)]
    return found


if __name__ == "__main__":
    main()

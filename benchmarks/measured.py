"""The lines of gradops/measured.py, from the results on Census-income: `python -m benchmarks.measured`."""

from __future__ import annotations

from pathlib import Path

from gradops.methods import METHODS, format_method
from pipeline.comparison.result_file import load_result_file
from pipeline.runs.plan import UNIFORM

# The first that has a method counts; the second is of `gradops compare configs/census.toml --methods all --seeds 1`.
RESULTS = ("census-full.json", "all/census.json")
_FOLDER = Path(__file__).parents[1] / "docs" / "results"


def measured() -> dict[str, str]:
    """Method to its difference from uniform in mean test AUC, in units of 0.0001, with its interval and seeds."""
    found: dict[str, str] = {}
    for path in (_FOLDER / name for name in reversed(RESULTS) if (_FOLDER / name).exists()):
        file = load_result_file(path)
        mean = {i.system: i for i in file.intervals if i.against == UNIFORM.name and i.task is None}
        seeds = f"{len(file.seeds)} seed{'s' if len(file.seeds) > 1 else ''}"
        for name, kind in METHODS.items():
            if (i := mean.get(format_method(kind()))) is not None:
                found[name] = f"{1e4 * i.delta:+.1f} [{1e4 * i.low:+.1f}, {1e4 * i.high:+.1f}]{i.mark}, {seeds}"
    return {name: found[name] for name in METHODS if name in found}


def main() -> None:
    """Print the lines."""
    for name, text in measured().items():
        print(f'    "{name}": "{text}",')


if __name__ == "__main__":
    main()

"""A draft trains as well as a config that knows the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.prepare import prepare
from pipeline.profiling.drafting import draft
from pipeline.profiling.questions import Guesses
from pipeline.profiling.rendering import rendered
from pipeline.profiling.wishes import Wishes
from pipeline.runs.plan import PlannedRun, System
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from pipeline.training.runner import find_or_train
from tests.conftest import ROOT

ROWS = 500_000


def mean_auc(config_file: Path) -> float:
    """The mean over the tasks of the test AUC of one run with uniform weights."""
    config = load_config(config_file)
    (run,) = find_or_train([PlannedRun(System("uniform"), config)], prepare(config), [], 1)
    return sum(run.test[task]["auc"] for task in run.tasks) / len(run.tasks)


@pytest.mark.slow  # two passes over half a million rows
def test_the_draft_of_the_generated_log_is_as_good_as_the_config_written_for_it() -> None:
    generate(Options(rows=ROWS), Path("data/clicklog"))
    drafted = draft("data/clicklog", Wishes(labels=("purchase", "cart", "wish")), Guesses())
    crosses = [{*one.keys["columns"]} for one in drafted.features.values() if one.keys["kind"] == "cross"]
    for true in ({"user_segment", "department"}, {"device", "traffic"}, {"age_group", "gender"}):
        assert true in crosses
    Path("draft.toml").write_text(rendered(drafted, "gradops init data/clicklog"))
    ours, theirs = mean_auc(Path("draft.toml")), mean_auc(ROOT / "configs" / "clicklog.toml")
    print(f"draft {ours:.4f}, configs/clicklog.toml {theirs:.4f}")  # noqa: T201  # seen with `pytest -s`
    assert ours > theirs - 0.003

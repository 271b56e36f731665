"""GAUC where the spec has a group: in the printed table, in the files, and nowhere without a group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.comparison.result_file import load_result_file
from pipeline.tracking.store import connect
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_log, write, write_config

GROUP = {'excluded = ["click_id"]': 'excluded = ["click_id"]\ngroup = "user_id"'}
ONE = {'methods = ["uniform", "pcgrad"]': 'methods = ["uniform"]'}


def test_gauc_is_printed_and_kept_where_the_spec_has_a_group() -> None:
    write(shop_log())
    path = write_config(changes=GROUP | ONE)
    code, out, err = run("compare", str(path))
    assert code == 0, err
    below = out.partition("test GAUC: the mean of the AUC within each `user_id`")[2]
    code, printed, _ = run("compare", str(path), "--json")
    answer = json.loads(printed)
    file = load_result_file(Path(answer["file"]))
    assert file.metrics["test"] == answer["metrics"]
    assert set(file.metrics["val"]) == set(file.metrics["test"])
    assert file.rows == ROWS
    assert file.labels["test"]["cart"].known == ROWS["test"]
    markdown = Path(answer["file"]).with_suffix(".md").read_text()
    rule = "significantly better or worse than `uniform` on this test set"
    drawn = "simultaneous 95 % intervals over the groups of `spec.group`; with one seed they cover these models only"
    assert f"- ▲/▼: {rule} ({drawn}, not retraining)." in markdown.splitlines()
    (parent,) = connect().search_runs(["1"], f"tags.`gradops.fingerprint` = '{file.fingerprint}'")
    recorded = parent.data.metrics
    assert file.verdicts[0].startswith(("Take `uniform`: ", "Multi-task training does not pay"))
    assert file.verdicts[0] in out.splitlines()
    for system in ("single-task", "uniform"):
        for task in ("purchase", "cart"):
            gauc = answer["metrics"][system][task]["gauc"]
            assert gauc == pytest.approx(0.6, abs=0.2)
            assert f"{gauc:.4f}" in below
            assert f"{gauc:.4f}" in markdown.partition("## test GAUC")[2].partition("##")[0]
            assert recorded[f"{system}.test.gauc.{task}"] == pytest.approx(gauc)


@pytest.mark.slow
def test_without_a_group_there_is_no_gauc() -> None:
    write(shop_log(1500))
    code, out, _ = run("compare", str(write_config(changes=ONE)))
    assert code == 0
    assert "GAUC" not in out

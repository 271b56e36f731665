"""One TOML, one config: overrides, inheritance, and errors that name every problem and the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import run_folder
from pipeline.training.resolve import load_config
from tests.conftest import ROOT, debug_config

CONFIGS = sorted((ROOT / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_config_that_we_ship_loads(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_a_config_takes_what_it_does_not_set_from_the_one_it_extends() -> None:
    census, paper = load_config(ROOT / "configs" / "census.toml"), load_config(ROOT / "configs" / "census-paper.toml")
    assert paper.spec.tasks == census.spec.tasks
    ours, theirs = (config.spec.features["capital_gains"].model_dump() for config in (census, paper))
    assert (ours["buckets"], theirs["buckets"]) == (64, 0)
    assert ours | {"buckets": 0} == theirs, "what a table of a table does not set is kept"
    assert (paper.train.epochs, paper.train.lr, paper.compare.seeds) == (200, 1e-4, 3)
    assert paper.model.model_dump()["bottom"] == (192, 192)


def test_a_config_leaves_out_keys_of_the_one_it_extends(tmp_path: Path) -> None:
    two = load_config(ROOT / "configs" / "census-two.toml")
    assert two.tasks == ("income", "marital")
    assert two.spec.features.keys() - load_config(ROOT / "configs" / "census.toml").spec.features.keys() == {
        "education"
    }
    for text, message in [
        ('without = ["spec.tasks.edu"]', "names `spec.tasks.edu`"),
        ('without = ["name.x.y"]', "names `name.x.y`"),
        ('without = "name"', "is a list of keys"),
    ]:
        (tmp_path / "wrong.toml").write_text(f'extends = "{ROOT}/configs/census.toml"\n{text}\n')
        with pytest.raises(InputError, match=message):
            load_config(tmp_path / "wrong.toml")
    (tmp_path / "alone.toml").write_text('without = ["name"]\n')
    with pytest.raises(InputError, match="of the config that it extends"):
        load_config(tmp_path / "alone.toml")


def test_overrides_are_toml_values_or_text(tmp_path: Path) -> None:
    config = debug_config(tmp_path, "train.lr=3e-4", "train.method=gradops(alpha=-2)", "model.tower=[8, 4]")
    assert config.train.lr == 3e-4
    assert config.train.method == "gradops(alpha=-2.0)"
    assert config.model.model_dump()["tower"] == (8, 4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch: unknown key; did you mean `epochs`?"),
        ("trian.epochs=3", "trian: unknown key; did you mean `train`?"),
        ("spec.features.age.bucket=3", "did you mean `buckets`?"),
        ("spec.tasks.income.postive=x", "did you mean `positive`?"),
        ("train.lr=-1", "train.lr: should be a number above 0, found -1"),
        (
            "train.schedule=cosine",
            'train.schedule: should be one of "constant", "one_cycle" or "warmup", found "cosine"',
        ),
        ("train.method=static(weight=(1, 2))", "does not fit 3 task(s)"),
        ("compare.methods=['gradops(alpa=1)', 'pcgrda']", "among these: alpha. Found `alpa`"),
        ("compare.methods=['gradops(alpa=1)', 'pcgrda']", "Did you mean `pcgrad`?"),
        ("model.bottom=[]", "model.bottom"),
        ("model={kind='mmoe', interaction={kind='dot', rank=4}}", "rank: unknown key; known keys: kind, width"),
        (
            "model={kind='mmoe', expert=[0]}",
            "1 problem(s)\n  - model.expert.0: should be a number above 0, found 0",
        ),
        ("extends=3", "unknown key"),
        ("train.method=gradop", "train.method: A method should be one of"),
        ("compare.methods=['pcgrad', 'nope']", "compare.methods: A method should be one of"),
        ("train.tasks=['incme']", "`incme`, which is not a task"),
        (
            "train.select_by=aux",
            "train.select_by: did you mean `auc`? a model is chosen by one of auc, ap, gauc, log",
        ),
        ("train.select_by=auc.incme", "names `incme`, which is not a task that is trained; did you mean `income`?"),
        ("train.select_by=gauc", "`spec.group` names no column to group by"),
        ("train.decay_schedule=flat_cosine", "train.decay_schedule changes train.weight_decay, which is 0"),
        ("train.ema=1", "train.ema: should be a number below 1, found 1"),
        ("split.test=0.4", "should be 1 of the holdout, found 0.9"),
        ("spec.features.age.range=[3, 3]", "`range` should be a lower and a higher number"),
        ("contract.uniqe=['click']", "contract.uniqe: unknown key; did you mean `unique`?"),
        ("contract.leak_auc=98", "contract.leak_auc: should be a number that is 1 or less, found 98"),
        ("contract.leaks_allowed=['agee']", "names `agee`, which is not a feature"),
        ("train", "--set takes section.key=value"),
        ("name.x=1", "`name` is a value, not a section"),
    ],
)
def test_a_mistake_is_named_with_its_fix(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        debug_config(tmp_path, override)
    assert message in str(error.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"3 problem"):
        debug_config(tmp_path, "train.epoch=3", "train.lr=-1", "model.dropout=2")


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(InputError, match="is not TOML"):
        load_config(tmp_path / "broken.toml")
    (tmp_path / "self.toml").write_text('extends = "self.toml"')
    with pytest.raises(InputError, match="extends itself"):
        load_config(tmp_path / "self.toml")


def test_without_a_holdout_rows_must_be_left_to_train_on(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "census.toml").read_text().replace('holdout = "data/census/test.parquet"\n', "")
    (tmp_path / "one.toml").write_text(text)
    with pytest.raises(InputError, match="leave rows to train on"):
        load_config(tmp_path / "one.toml")
    assert load_config(tmp_path / "one.toml", ["split.test=0.1", "split.validation=0.1"]).data.holdout is None


def test_a_key_under_its_former_name_is_the_same_run(few: tuple[RunConfig, Prepared], tmp_path: Path) -> None:
    now, before = (debug_config(tmp_path, f"train.{key}=2") for key in ("shuffle_shards", "lanes"))
    assert now == before
    assert run_folder(now, few[1]) == run_folder(before, few[1]) != run_folder(debug_config(tmp_path), few[1])

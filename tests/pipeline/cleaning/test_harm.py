"""Cleaning where folders are shared, linked, damaged or locked, and where the registry is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from features.errors import InputError
from jobs import daily
from tests.pipeline.cleaning.fake_days import data_of_day, pointed, run_of_day
from tests.pipeline.cleaning.test_clean import Registry, on, registry, why
from tests.pipeline.small_shop import shop_config

__all__ = ["registry"]


def test_runs_beside_data_are_judged_as_runs(registry: Registry) -> None:
    config = shop_config()
    config = config.model_copy(update={"runs": config.data.prepared})
    served, sister = (data_of_day(config, number, grown=False) for number in range(2))
    run, other = run_of_day(config, 0, served), run_of_day(config, 1, sister)
    registry.aliased = [pointed(run, served)]
    cleaning = on(100, config)
    assert why(cleaning, run).startswith("an alias")
    assert run.exists()
    assert not other.exists()


def test_data_with_a_linked_part_goes_and_the_link_s_target_stays(registry: Registry) -> None:
    config = shop_config()
    old, _ = data_of_day(config, 0, grown=False), data_of_day(config, 1, grown=False)
    Path("elsewhere").mkdir()
    (old.folder / "test").rename("elsewhere/test")
    (old.folder / "test").symlink_to(Path("elsewhere/test").resolve())
    on(100)
    assert not old.folder.exists()
    assert Path("elsewhere/test/part-0.parquet").exists()


def test_a_folder_that_cannot_be_removed_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    config = shop_config()
    run = run_of_day(config, 0, data_of_day(config, 0, grown=False))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match=rf"{run} cannot be removed \(Permission denied\)"):
        on(100)


def test_a_registry_that_is_away_ends_no_day(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object, **__: object) -> None:
        raise MlflowException("it does not answer")

    monkeypatch.setattr("pipeline.cleaning.clean.clean", away)
    daily._clean(shop_config().changed({"daily.keep": "14d"}), as_json=False)
    assert "not cleaned: it does not answer" in "".join(capsys.readouterr())


def test_a_damaged_manifest_stops_cleaning(registry: Registry) -> None:
    config = shop_config()
    old = data_of_day(config, 0, grown=False)
    run = run_of_day(config, 0, old)
    (old.folder / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest.json is damaged"):
        on(100)
    assert run.exists()

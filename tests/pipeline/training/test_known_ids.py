"""Ids that a run reads as out of vocabulary: in training, in evaluation and in the served network alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from features.encoder import ID
from features.errors import InputError
from features.transforms import OUT_OF_VOCABULARY
from models.embedding.cut import Bags
from pipeline.comparison.scores import TestRows, scores_of
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.training.known_ids import KnownIds
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.pipeline.training.stopping import config_in

IDS = 'train.ids={"country_father"={left_out=true},"det_ind_code"={min_count=20},"det_occ_code"={dropout=0.5}}'


@pytest.mark.parametrize("model", [(), pytest.param(("model={kind='stem'}",), marks=pytest.mark.slow)])
def test_a_served_network_scores_as_training_and_evaluation_read_ids(
    tmp_path: Path, few: tuple[RunConfig, Prepared], model: tuple[str, ...]
) -> None:
    """The scores of the served network, on rows with all their ids: those of the unknown ones change nothing.

    Also where tasks have tables of their own.
    """
    config, prepared = config_in(tmp_path, few, IDS, *model), few[1]
    run, rows = train(config, prepared), TestRows(prepared)
    labels_NT, found_NT = rows.labels(run.tasks), scores_of(run, rows)
    for place, task in enumerate(run.tasks):
        positive_N = labels_NT[:, place] == 1
        assert _auc(found_NT[:, place], positive_N) == pytest.approx(run.test[task]["auc"], abs=1e-9)
    other = prepared.scan("test").with_columns(pl.lit(3, pl.Int32).alias(f"{ID}country_father")).collect()
    rows.__dict__["features"] = other
    (run.folder / "scores.safetensors").unlink()
    np.testing.assert_array_equal(scores_of(run, rows), found_NT)


def test_ids_are_unknown_by_their_count_and_dropped_by_seed_and_step(few: tuple[RunConfig, Prepared]) -> None:
    config, prepared = config_in(Path(), few, IDS), few[1]
    encoder = prepared.encoder()
    ids, features = KnownIds(config.train, encoder, prepared), encoder.spec.id_features
    frame = prepared.scan("train").select(ID + name for name in features).collect()
    bags = Bags(torch.from_numpy(frame.to_numpy().T.copy()).reshape(-1), torch.ones(frame.width * frame.height))
    bags = Bags(bags.ids_N, bags.lengths_FB.to(torch.int32))
    known, first, again, later = (
        b.ids_N.view(frame.width, -1) for b in (ids.known(bags), *(ids.dropped(bags, step) for step in (5, 5, 6)))
    )
    raw = bags.ids_N.view(frame.width, -1)
    codes, left_out, dropped = (features.index(f) for f in ("det_ind_code", "country_father", "det_occ_code"))
    counts = frame.get_column(f"{ID}det_ind_code").value_counts()
    rare = (
        counts.filter(pl.col("count") < 20, pl.col(f"{ID}det_ind_code") > 2).get_column(f"{ID}det_ind_code").to_list()
    )
    assert rare
    is_rare = torch.isin(raw[codes], torch.tensor(rare))
    assert torch.equal(known[codes], torch.where(is_rare, OUT_OF_VOCABULARY, raw[codes]))
    assert (known[left_out] == OUT_OF_VOCABULARY).all()
    others = [place for place in range(frame.width) if place not in (codes, left_out)]
    assert torch.equal(known[others], raw[others])
    assert torch.equal(first, again)
    share = (first[dropped] != raw[dropped]).float().mean()
    assert 0.4 < share < 0.6
    assert not torch.equal(first[dropped], later[dropped])
    assert torch.equal(first[[p for p in others if p != dropped]], raw[[p for p in others if p != dropped]])


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (
            "country_fater={left_out=true}",
            "train.ids names `country_fater`, which is no table of the features; did you",
        ),
        ("country_father={}", "give `left_out`, `min_count` or `dropout`, or leave the section out"),
        ("country_father={left_out=true,dropout=0.1}", "`left_out` leaves no ids for `min_count` or `dropout`"),
    ],
)
def test_what_changes_nothing_or_names_no_table_is_refused(ids: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        debug_config(Path(), f"train.ids={{{ids}}}")


def _auc(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """The share of pairs in the right order, ties one half: in float64, pair by pair."""
    above = score_N[positive_N][:, None].astype(np.float64) - score_N[~positive_N][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())

"""What every kind of feature keeps to, shown on its own examples; a new kind joins with its file and its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import polars.testing
import pytest
from pydantic import ValidationError

from features.contract import check_table
from features.encoder import ID, VALUE, WEIGHT, Encoder
from features.errors import InputError
from features.fitting import Fitter, fit
from features.kinds import KINDS, Feature
from features.kinds.base import Example
from features.spec import FeatureSpec
from features.transforms import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY
from pipeline.data.windows import Window
from pipeline.serving.columns import RequestRows, frame_of
from pipeline.serving.requests import Limits, read_request
from pipeline.serving.trees.columns import Columns
from tests.conftest import fitted, vocabularies
from tests.pipeline.serving.both_ways import assert_same

NAMES = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in KINDS}


@dataclass(frozen=True)
class Case:
    """A kind's example, beside a categorical: a spec has to have an embedding table."""

    example: Example

    @property
    def spec(self) -> FeatureSpec:
        features = {"shown": self.example.declared, "beside": {"kind": "categorical"}}
        return FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "label = 1"}}})

    @property
    def feature(self) -> Feature:
        return self.spec.features["shown"]

    @property
    def columns(self) -> list[str]:
        return self.spec.columns("shown")

    @property
    def rows(self) -> pl.DataFrame:
        return self.example.rows.with_columns(beside=pl.lit("b"), label=pl.int_range(pl.len()) % 2)

    @property
    def unseen(self) -> pl.DataFrame:
        return self.example.unseen.with_columns(beside=pl.lit("b"))

    @property
    def encoder(self) -> Encoder:
        return fit(self.spec, self.rows.lazy())

    @property
    def encoded(self) -> pl.DataFrame:
        return encoded(self.encoder, self.rows)


def encoded(encoder: Encoder, rows: pl.DataFrame) -> pl.DataFrame:
    return encoder.encode_features(rows.lazy()).collect()


def ids_of(case: Case, frame: pl.DataFrame) -> list[list[int]]:
    """The ids of each row; none at all for a feature without ids."""
    if not case.feature.has_ids:
        return []
    ids = frame.get_column(ID + "shown").to_list()
    return ids if case.feature.is_multi_hot else [[one] for one in ids]


@pytest.fixture(params=[f"{name}-{i}" for name, kind in NAMES.items() for i in range(len(kind.examples()))])
def case(request: pytest.FixtureRequest) -> Case:
    name, _, place = request.param.rpartition("-")
    return Case(NAMES[name].examples()[int(place)])


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_called_as_its_file(name: str) -> None:
    assert NAMES[name].__module__ == f"features.kinds.{name}"
    assert all(example.declared["kind"] == name for example in NAMES[name].examples())


def test_an_example_shows_null_and_unseen_values(case: Case) -> None:
    assert case.example.rows.select(case.columns).row(-1) == (None,) * len(case.columns)
    assert case.example.unseen.height
    assert not any(case.example.unseen.select(pl.all().null_count()).row(0))


def test_a_declaration_comes_back_from_json(case: Case) -> None:
    assert FeatureSpec.model_validate_json(case.spec.model_dump_json()) == case.spec
    for wrong in ({"required": True, "optional": True}, {"no_such_key": 1}):
        with pytest.raises(ValidationError, match=r"found both|Extra inputs"):
            type(case.feature).model_validate({**case.example.declared, **wrong})


def test_its_columns_are_those_that_it_says(case: Case) -> None:
    has = {ID: case.feature.has_ids, WEIGHT: case.feature.has_weights, VALUE: case.feature.has_value}
    assert set(case.encoded.columns) == {f"{ID}beside", *(prefix + "shown" for prefix, there in has.items() if there)}
    one, number = (pl.List(pl.Int32), pl.List(pl.Float32)) if case.feature.is_multi_hot else (pl.Int32(), pl.Float32())
    kinds = {f"{ID}shown": one, f"{WEIGHT}shown": number, f"{VALUE}shown": pl.Float32()}
    assert all(kinds[name] == kind for name, kind in case.encoded.schema.items() if name in kinds)


@pytest.mark.parametrize("rows", ["rows", "unseen"])
def test_every_id_is_a_row_of_its_table_and_every_number_is_finite(case: Case, rows: str) -> None:
    frame = encoded(case.encoder, getattr(case, rows))
    size = {name: table.rows for table in case.encoder.tables() for name in table.features}
    assert all(ids and all(0 < one < size["shown"] for one in ids) for ids in ids_of(case, frame))
    numbers = [c for c in frame.columns if c.startswith((WEIGHT, VALUE))]
    for column in numbers:
        assert frame.get_column(column).explode().is_finite().all()
        assert not frame.get_column(column).explode().null_count()
    if case.feature.has_weights:
        assert [len(w) for w in frame.get_column(WEIGHT + "shown")] == [len(ids) for ids in ids_of(case, frame)]


def test_a_row_has_another_id_or_number_than_another(case: Case) -> None:
    assert case.encoded.unique().height > 1


@pytest.mark.parametrize("form", ["typed", "untyped"])
def test_null_is_id_1_and_number_0(case: Case, form: str) -> None:
    nothing = case.rows[-1:]
    if form == "untyped":
        nothing = nothing.with_columns(pl.lit(None).alias(column) for column in case.columns)
    frame = encoded(case.encoder, nothing)
    assert ids_of(case, frame) in ([], [[NULL]])
    assert frame.to_dicts()[0].get(VALUE + "shown", 0.0) == 0.0
    assert frame.to_dicts()[0].get(WEIGHT + "shown", [1.0]) == [1.0]


def test_an_unseen_value_is_out_of_vocabulary(case: Case) -> None:
    found = ids_of(case, encoded(case.encoder, case.unseen))
    if case.feature.has_vocabulary:
        assert {one for ids in found for one in ids} == {OUT_OF_VOCABULARY}
    else:
        assert all(one >= FIRST_KNOWN for ids in found for one in ids)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_chunk_by_chunk_is_as_at_once(case: Case, length: int) -> None:
    fitter = Fitter(case.spec, case.rows.schema, case.rows.height)
    chunks = list(case.rows.iter_slices(length))
    for chunk in chunks:
        fitter.update(chunk)
    parts, whole = fitter.finish(), case.encoder
    assert vocabularies(parts) == vocabularies(whole)
    for name, scale in whole.scales.items():
        assert parts.scales[name].edges == scale.edges
        assert parts.scales[name].mean == pytest.approx(scale.mean)
        assert parts.scales[name].deviation == pytest.approx(scale.deviation)
    pl.testing.assert_frame_equal(pl.concat([encoded(whole, chunk) for chunk in chunks]), encoded(whole, case.rows))


def test_an_encoder_comes_back_from_its_files(case: Case, tmp_path: Path) -> None:
    case.encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path)
    assert fitted(loaded) == fitted(case.encoder)
    pl.testing.assert_frame_equal(encoded(loaded, case.unseen), encoded(case.encoder, case.unseen))


def as_json(value: Any) -> Any:
    """A value as a caller writes it: moments in ISO text, null for a number that is none."""
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def requests(case: Case, rows: pl.DataFrame) -> Iterator[RequestRows]:
    """All rows in one request, then each in its own."""
    records = [{column: as_json(value) for column, value in row.items()} for row in rows.to_dicts()]
    for part in (records, *([record] for record in records)):
        body = json.dumps({"dataframe_records": part}).encode()
        yield read_request(body, [*case.columns, "beside"], Limits()).rows


@pytest.mark.parametrize("rows", ["rows", "unseen"])
def test_a_request_is_encoded_as_a_file_is(case: Case, rows: str) -> None:
    encoder, frame = case.encoder, getattr(case, rows)
    whole, *single = requests(case, frame)
    from_file = encoded(encoder, frame)
    pl.testing.assert_frame_equal(encoded(encoder, whole.frame()), from_file)
    for place, row in enumerate(single):
        pl.testing.assert_frame_equal(encoded(encoder, row.frame()), from_file[place])


@pytest.mark.parametrize("rows", ["rows", "unseen"])
def test_the_form_of_requests_gives_what_the_expressions_give(case: Case, rows: str) -> None:
    frame = getattr(case, rows)
    for request in requests(case, frame):
        assert assert_same(case.encoder, request), "the form reads its kind's examples"
    arrays = {name: frame.get_column(name).to_arrow() for name in [*case.columns, "beside"]}
    assert assert_same(case.encoder, RequestRows.of(arrays))


def test_the_example_of_a_request_can_be_encoded(case: Case) -> None:
    made = {c: [case.feature.request_value(i, case.encoder.dtypes[c])] for i, c in enumerate(case.columns)}
    request = frame_of({**json.loads(json.dumps(made)), "beside": ["b"]})
    assert encoded(case.encoder, request).height == 1


@pytest.mark.parametrize("wrong", [pl.Time(), pl.Duration(), pl.List(pl.Time)], ids=str)
def test_a_column_of_a_wrong_type_is_named_with_its_rule(case: Case, wrong: pl.DataType) -> None:
    for column in case.columns:
        rows = case.rows.with_columns(pl.lit(None, wrong).alias(column))
        (problem,) = check_table(case.spec, rows.schema, "the table")
        assert f"column `{column}` (feature `shown`) holds {wrong}; " in problem
        with pytest.raises(InputError, match=rf"1 problem(.|\n)*`{column}` \(feature `shown`\)"):
            encoded(case.encoder, rows)


def test_a_missing_column_is_named(case: Case) -> None:
    for column in case.columns:
        (problem,) = check_table(case.spec, case.rows.drop(column).schema, "the table")
        assert f"column `{column}` (feature `shown`) is missing from the table" in problem
        with pytest.raises(InputError, match=rf"`{column}` \(feature `shown`\) is missing"):
            encoded(case.encoder, case.rows.drop(column))


def test_encoded_rows_become_a_batch(case: Case) -> None:
    window = Window.of(case.encoded, case.spec, ())
    batch = window.batch(1, len(window))
    lengths = [len(ids) for ids in ids_of(case, case.encoded)[1:]]
    assert len(batch.bags.ids_N) == sum(lengths) + len(window) - 1
    assert batch.value_BV.shape == (len(window) - 1, int(case.feature.has_value))


def test_boosting_reads_it(case: Case) -> None:
    columns = Columns.learnt(Window.of(case.encoded, case.spec, ()))
    for rows in (case.rows, case.unseen):
        read = columns.of(Window.of(encoded(case.encoder, rows), case.spec, ()))
        assert read.shape == (rows.height, len(columns.categorical))
        assert not np.isinf(read).any()


def test_it_can_be_judged_for_leaks(case: Case) -> None:
    judged = case.feature.with_ids()
    spec = case.spec.model_copy(update={"features": {**case.spec.features, "shown": judged}})
    assert {f"{ID}shown", f"{VALUE}shown"} & set(encoded(fit(spec, case.rows.lazy()), case.rows).columns)
    assert case.feature.with_ids() == judged

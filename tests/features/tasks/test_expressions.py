"""A label is told from its own row alone: what reads other rows or the clock is refused by its name."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import polars as pl
import polars.testing
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import InputError
from features.tasks.expressions import beyond_its_row, parsed
from pipeline.data.prepare import prepare
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write, write_config

TABLE = pl.DataFrame(
    {
        "a": [3, 1, None, 4, 1, 5],
        "b": [0.5, 2.0, 2.0, None, -1.0, 0.1],
        "f": [True, None, False, True, False, False],
        "s": ["ab", "x", None, "", "Ab c", "x,y"],
        "t": ["b", "x", "c", None, "", "x"],
        "d": ["2026-01-05", "2026-01-06", None, "2025-12-31", "2026-02-01", "2026-01-05"],
        "ts": [datetime(2026, 1, day, 9 * day) if day != 2 else None for day in (1, 2, 1, 1, 2, 1)],
        "l": [[1, 2], [], None, [3], [2, None, 2], [7, 1]],
        "o": [{"x": 1}, {"x": 2}, None, {"x": None}, {"x": 1}, {"x": 5}],
    }
)
# Every function and operator of a row that Polars' SQL knows, some of them several at once.
OF_A_ROW = """
a = 1 ; a == 1 ; a <> 1 AND b > 0 OR f ; NOT f ; a IN (1, 3) ; a NOT IN (1, 3) ; a IN (NULL) ; a IN (b, 1) ;
s IN ('x', '') ; a BETWEEN 1 AND 3 ; a NOT BETWEEN 1 AND 3 ; a IS NULL ; a IS NOT NULL ; f IS TRUE ;
a IS DISTINCT FROM 1 ; a <=> 1 ; CASE WHEN a = 1 THEN TRUE WHEN b > 1 THEN FALSE END ; COALESCE(a, 0) = 1 ;
IFNULL(a, 0) = 1 ; NULLIF(a, 1) > 3 ; IF(a = 1, TRUE, FALSE) ; GREATEST(a, 2) = 3 ; LEAST(a, 2) = 1 ;
CAST(a AS DOUBLE) > 1.5 ; a::VARCHAR = '1' ; TRY_CAST(s AS INT) = 1 ; ABS(b) > 1 ; CEIL(b) = 1 ; FLOOR(b) = 0 ;
ROUND(b, 1) = 0.1 ; SIGN(b) = 1 ; EXP(b) > 2 ; LN(a) > 0 ; LOG(a, 2) > 1 ; LOG1P(a) > 1 ; LOG10(a) > 0 ; MOD(a, 2) = 1 ;
a % 2 = 1 ; DIV(a, 2) = 1 ; a // 2 = 1 ; POW(a, 2) > 8 ; SQRT(a) > 1 ; CBRT(a) > 1 ; -a < 0 ; SIN(a) > 0 ; COSD(a) > 0 ;
ATAN2(a, b) > 1 ; ATAN2D(a, b) > 1 ; DEGREES(a) > 90 ; a & 1 = 1 ; BIT_XOR(a, 1) = 2 ; BIT_COUNT(a) = 1 ; s LIKE 'x%' ;
s ILIKE '%B%' ; s NOT LIKE '_' ; s ~ '^x' ; s RLIKE 'x' ; REGEXP_LIKE(s, 'x') ; STARTS_WITH(s, 'x') ; s || t = 'abb' ;
LENGTH(s) > 1 ; OCTET_LENGTH(s) > 1 ; BIT_LENGTH(s) > 8 ; UPPER(s) = 'X' ; INITCAP(s) = 'Ab' ; TRIM(s) = '' ;
REPLACE(s, 'a', 'b') = 'bb' ; SUBSTR(s, 1, 1) = 'a' ; LEFT(s, 1) = 'a' ; RIGHT(s, 1) = 'b' ; STRPOS(s, 'b') = 2 ;
REVERSE(s) = 'ba' ; SPLIT_PART(s, ',', 2) = 'y' ; CONCAT(s, t) = 'xx' ; CONCAT_WS('-', s, t) = 'x-x' ;
LPAD(s, 3, '0') = '00x' ; NORMALIZE(s) = 'x' ; s > t ; DATE(d, '%Y-%m-%d') > DATE '2026-01-01' ;
STRPTIME(d, '%Y-%m-%d') > TIMESTAMP '2026-01-05 00:00:00' ; STRFTIME(ts, '%H') = '09' ; EXTRACT(hour FROM ts) = 9 ;
DATE_PART('dow', ts) = 4 ; EXTRACT(epoch FROM ts) > 1767000000 ; CAST(ts AS DATE) = DATE '2026-01-01' ;
ts + INTERVAL '1 day' > TIMESTAMP '2026-01-02 10:00:00' ; ARRAY_CONTAINS(l, 2) ; ARRAY_LENGTH(l) = 1 ;
ARRAY_SUM(l) > 3 ; l[1] = 1 ; ARRAY_MEAN(l) > 2 ; ARRAY_TO_STRING(l, ',') = '1,2' ; ARRAY_LENGTH(ARRAY_UNIQUE(l)) = 1 ;
ARRAY_GET(ARRAY_REVERSE(l), 1) = 2 ; o.x = 1
"""
OF_A_ROW_EACH = [text.strip() for line in OF_A_ROW.splitlines() for text in line.split(";") if text.strip()]


def test_the_label_of_a_row_is_the_same_among_other_rows_and_alone() -> None:
    labels = {text: pl.sql_expr(text) for text in OF_A_ROW_EACH}
    assert {text: found for text in labels if (found := beyond_its_row(text))} == {}
    together = TABLE.select(**labels)
    alone = pl.concat([TABLE[place].select(**labels) for place in range(TABLE.height)])
    pl.testing.assert_frame_equal(alone, together)
    assert together.height == TABLE.height
    assert set(together.dtypes) == {pl.Boolean()}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("price > AVG(price)", ["AVG"]),
        ("ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY ts) = 1", ["OVER"]),
        ("COUNT(price) > 3", ["COUNT"]),
        ("COUNT(*) > 3", ["COUNT"]),
        ("COUNT(DISTINCT price) > 3", ["COUNT(DISTINCT)"]),
        ("a = MAX(a) OR b = MIN(b)", ["MAX", "MIN"]),
        ("a = MAX(a) OVER ()", ["MAX"]),
        ("CASE WHEN a = 1 THEN SUM(b) > 1 END", ["COUNT", "SUM"]),
        ("COALESCE(FIRST(a), b) = 1", ["FIRST"]),
        ("ABS(a - MEDIAN(a)) > 1", ["MEDIAN"]),
        ("STDDEV(a) > 1", ["STDDEV"]),
        ("QUANTILE_CONT(a, 0.5) > 1", ["QUANTILE"]),
        ("a > LAG(a) OVER (ORDER BY ts)", ["OVER"]),
        ("SUM(a) OVER (ORDER BY ts) > 1", ["OVER"]),
        ("RANK() OVER (ORDER BY a) = 1", ["RANK", "COUNT"]),
        ("ROW_NUMBER() = 1", ["ROW_NUMBER", "COUNT"]),
        ("UNNEST(l) = 1", ["UNNEST"]),
        ("a IN (SELECT 1)", ["FIRST", "SELECT"]),
        ("EXISTS (SELECT 1)", ["SELECT"]),
        ("CORR(a, b) > 0.5", ["ANY", "CORR"]),
        ('"^a.*$" = 1', ["COLUMNS"]),
        ("DATE(d) > DATE '2026-01-01'", ["DATE without a format"]),
        ("ts > NOW()", ["NOW"]),
        ("current_date = 1", ["CURRENT_DATE"]),
        ("""s = 'NOW' AND "current_date" = 1""", []),
    ],
)
def test_what_reads_other_rows_or_the_clock_has_a_name(text: str, names: list[str]) -> None:
    assert beyond_its_row(text) == names


def test_a_config_with_such_a_label_is_refused_with_every_one_named() -> None:
    first = """{ positive = "ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY ts) = 1" }"""
    where = """{ positive = "carted = 1", where = "price > AVG(price)" }"""
    changes = {'{ positive = "bought = 1" }': first, '{ positive = "carted = 1" }': where}
    write_config(changes=changes)
    code, _, err = run("prepare", "shop.toml")
    assert code == 2
    said = " ".join(err.split())
    assert "spec.tasks.purchase.positive: `OVER` needs more than a row" in said
    assert "spec.tasks.cart.where: `AVG` needs more than a row; a label is told from its own row alone" in said
    assert "write the value into a column of the files, and compare that column" in said


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("order = 1", '`order` means something in SQL: write a column of that name in quotes, `"order" = 1`'),
        ("user = 1 OR group = 2", 'write a column of that name in quotes, `"user" = 1 OR "group" = 2`'),
        ("end = 'end' AND a = 1", """in quotes, `"end" = 'end' AND a = 1`"""),
        ("interval > 5", '`"interval" > 5`'),
        ("a = (SELECT MAX(a) FROM t)", "a label is told from its own row alone, without a subquery"),
    ],
)
def test_a_text_that_is_no_expression_comes_with_the_way_to_write_it(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="not a SQL expression over raw columns") as error:
        parsed(text)
    assert hint in str(error.value)


@pytest.mark.parametrize("text", ["bought =", "RANDOM() > 0.5"])
def test_a_text_that_quotes_do_not_mend_has_no_hint(text: str) -> None:
    with pytest.raises(ValueError, match="not a SQL expression over raw columns") as error:
        parsed(text)
    assert "quotes" not in str(error.value)


@pytest.mark.parametrize(
    ("positive", "dtype", "hint"),
    [
        ("bought = 1", pl.String, """`bought` is text: write `positive = "bought = '1'"`"""),
        ("bought IN (1, 2)", pl.String, """`bought` is text: write `positive = "bought IN ('1', '2')"`"""),
        ("bought > 0", pl.Categorical, """`bought` is text: write `positive = "bought > '0'"`"""),
        ("bought = 1 AND carted = 1", pl.String, "a label is true, false or null; write a comparison"),
    ],
)
def test_labels_that_are_text_are_named_with_the_way_to_compare_them(
    positive: str, dtype: type[pl.DataType], hint: str
) -> None:
    write(shop_log(300).with_columns(pl.col("bought").cast(pl.String).cast(dtype)))
    config = shop_config(changes={"bought = 1": positive})
    with pytest.raises(InputError) as error:
        prepare(config)
    said = str(error.value)
    assert "task `purchase` cannot be computed" in said
    assert hint in said
    assert "\n" not in said.partition("task `purchase`")[2].rstrip()


def test_a_column_of_a_type_that_polars_cannot_compute_does_not_blame_the_tasks() -> None:
    money = pa.array([Decimal("1.5")] * 3000, pa.decimal256(76, 38))
    pq.write_table(shop_log().to_arrow().append_column("money", money), write(shop_log()))
    assert prepare(shop_config()).rows == ROWS

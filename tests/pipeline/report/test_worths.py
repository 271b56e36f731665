"""The page of an explanation, and its part of a report, in a real browser: as wide as a phone and as a laptop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from pipeline.explanation.dependence import Curve
from pipeline.explanation.drop import Drop
from pipeline.explanation.explanation import EXPLANATIONS, Explanation, Worth, newest_explanation
from pipeline.explanation.summary import summary
from pipeline.report.report import write_report
from pipeline.report.results import load_result
from pipeline.report.worths import write_explanation
from tests.conftest import ROOT
from tests.pipeline.browser import LAPTOP, PHONE, assert_is_whole, chromium, opened

HOSTILE = "<img src=x onerror=\"document.title = 'taken'\">_of_the_shop_and_a_rather_long_name"


def worth(name: str, delta: float, kind: str = "column", half: float = 0.002, reason: str = "") -> Worth:
    drops = {t: Drop(delta=d, low=d - half, high=d + half) for t, d in (("buy", delta), ("cart", delta / 2))}
    columns = tuple(name.split(" & "))
    return Worth(name=name, kind=kind, columns=columns, features=columns, reason=reason, drops=drops, moved=delta)  # type: ignore[arg-type]


def explanation(data: str = "d") -> Explanation:
    worths = [worth(f"column_{i}", 0.01 / (i + 1)) for i in range(30)]
    worths += [worth(HOSTILE, 0.05), worth("price", 0.001), worth("cost", 0.001), worth("constant", 0.0, half=0.0)]
    worths += [worth("price & cost", 0.03, "group", reason="tell nearly the same")]
    curves = [Curve(column=HOSTILE, values=[1.0, 2.0], means={"buy": [0.1, 0.2], "cart": [0.3, 0.2]}, missing=None)]
    curves += [curves[0].model_copy(update={"column": "price", "missing": {"buy": 0.1, "cart": 0.2}})]
    return Explanation(
        name="shop",
        model="models:/shop@champion",
        digest="0" * 64,
        data=data,
        is_own_data=True,
        rows=20_000,
        share=0.5,
        repeats=5,
        tasks=["buy", "cart", "rare"],
        auc={"buy": 0.7, "cart": 0.6},
        worths=worths,
        curves=curves,
    )


def test_the_summary_names_what_matters_and_what_does_nothing() -> None:
    buy, cart, unread, *others = summary(explanation())
    assert buy.startswith(f"buy, AUC 0.7000: what it loses without `{HOSTILE}` (0.0500 [0.0480, 0.0520]), `column_0`")
    assert "cart, AUC 0.6000" in cart
    assert "No score depends on `constant`" in unread
    dead, price, cost, rare = others
    assert "Worth nothing beyond noise to any task on these 20,000 rows: `column_4`" in dead
    assert "`price`" not in dead
    assert price == "`price` alone is worth nothing beyond noise, but `price & cost` is: others make up for it."
    assert cost.startswith("`cost` alone")
    assert "Nothing is said of `rare`: these rows are of one class." in rare


def test_the_newest_explanation_of_the_same_data_is_meant(tmp_path: Path) -> None:
    assert newest_explanation(tmp_path, "shop", "d") is None
    for number, data in enumerate("dde"):
        explanation(data).model_copy(update={"rows": number}).save(tmp_path / EXPLANATIONS / f"{number}.json")
    found = newest_explanation(tmp_path, "shop", "d")
    assert found is not None
    assert found.rows == 1
    assert newest_explanation(tmp_path, "other", "d") is None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    yield from chromium(tmp_path_factory.mktemp("browser"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, LAPTOP])
def test_the_page_fits_the_screen_and_names_in_it_are_text(
    browser: webdriver.Chrome, tmp_path: Path, width: int
) -> None:
    write_explanation(explanation(), tmp_path / "page.html")
    page = opened(browser, tmp_path / "page.html", width)
    assert_is_whole(page)
    assert page.says("document.title") == "shop: explanation"
    assert page.says("document.querySelectorAll('#worth-0 .bars .point').length") == 20 + 1
    assert page.says("document.querySelectorAll('#dependence-1 .scatterlayer .points path').length") == 4
    assert HOSTILE in page.says("document.body.innerText")


@pytest.mark.slow
def test_a_report_shows_the_explanation_of_its_data(browser: webdriver.Chrome, tmp_path: Path) -> None:
    source = next((ROOT / "docs" / "results").glob("*.json"))
    path = tmp_path / "comparisons" / source.name
    path.parent.mkdir()
    path.write_bytes(source.read_bytes())
    result = load_result(path)
    write_report(result, tmp_path / "without.html")
    shown = explanation(result.made["data"]).model_copy(update={"name": result.name})
    shown.save(tmp_path / EXPLANATIONS / "e.json")
    write_report(result, tmp_path / "with.html")
    assert not opened(browser, tmp_path / "without.html").says("document.querySelector('#worth')")
    page = opened(browser, tmp_path / "with.html")
    assert_is_whole(page)
    assert "models:/shop@champion" in page.says("document.body.innerText")
    assert page.says("document.querySelectorAll('#worth li').length") == len(summary(shown))

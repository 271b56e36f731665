"""Methods as text: errors in the text, and the one canonical form of each method."""

from __future__ import annotations

import pytest

from gradops.elsewhere import ELSEWHERE, SAME
from gradops.methods import METHODS, format_method, parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gradop", "one of aligned_mtl"),
        ("gradops(alpha)", "should be written"),
        ("gradops(beta=1)", "among these: alpha. Found `beta`"),
        ("gradops(alpha='x')", "wrong type"),
        ("pcgrda", "Did you mean `pcgrad`"),
        ("gradops(alpha=float('inf'))", "should be written"),
        ("static(weight=(1.0, -1.0))", "at least 0"),
        ("gradops_static(weight=(1.0, -1.0))", "at least 0"),
        ("gradops(alpha=1e999)", "finite"),
        ("dw(alpha=-1e999)", "finite"),
        ("pcgrad_dw(alpha=1e999)", "finite"),
        ("pcgrad(part='half')", "one of both, direction, magnitude"),
        ("mgda(normalise='l1')", r"one of none, l2, loss, loss\+"),
        ("mgda_ub(normalise=2)", "wrong type"),
        ("gradvac(beta=2)", r"in \[0, 1\]"),
        ("cagrad(c=1)", r"in \[0, 1\)"),
        ("gradnorm(tau=-1)", "at least 0"),
        ("gradnorm(lr=0)", "above 0"),
        ("gradnorm(target='x')", "one of mean, combined"),
        ("graddrop(leak=(2.0,))", r"in \[0, 1\]"),
        ("rotograd_v1(tau=-1)", "at least 0"),
        ("rotograd_coop(lr=0)", "above 0"),
        ("pcgrad + rotation + rotation", "one `\\+ rotation"),
        ("pcgrad + turn", "one `\\+ rotation"),
        ("pcgrad - rotation", "should be written"),
        ("pcgrad + rotation(sise=3)", "among these: size"),
        ("rotograd(rotation=3)", "among these: none"),
        ("gradops(alpha=1+2j)", "wrong type"),
        ("gradops(alpha=True)", "wrong type"),
        ("gradops(alpha=2, alpha=3)", "should be written"),
        ("gradops(alpha={[]:1})", "should be written"),
        (f"gradops(alpha={10**400})", "finite number. Found one of 401 digits"),
        ("static(weight='')", "wrong type"),
        ("static(weight={1: 2})", "wrong type"),
        ("rotograd + rotation(size=2.0)", "wrong type"),
        ("rotograd + rotation(cooperative_after=True)", "wrong type"),
        ("+".join(["a"] * 100_000), "should be"),
        ("", "should be written"),
        ("nash_mtl", r"which is `fairgrad\(alpha=1, max_norm=1\)` here"),
        ("moco", "not built: it averages"),
        ("db_mtl(beta=0.9)", "Found `beta`. `beta` is not built: it averages each task.s gradient"),
        ("aligned_mtl(scale='max')", "one of min, median, rmse"),
        ("imtl_g(length='one')", "one of weights, sum"),
        ("fairgrad(alpha=0)", r"in \[0.1, 10\]"),
        ("fairgrad(max_norm=-1)", "at least 0"),
        ("pcgrad + bound(0)", "above 0"),
        ("pcgrad + smooth(1)", r"in \[0, 1\)"),
        ("pcgrad + smooth(0.5, 0.6)", "should be written"),
        ("pcgrad + smooth(0.5) + smooth(0.6)", "at most"),
        ("graddrop + smooth(0.5)", "gives no weights"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_integers_and_floats_are_one_method() -> None:
    assert format_method(parse("gradops(alpha=-2)")) == "gradops(alpha=-2.0)"
    assert format_method(parse("gradops")) == "gradops(alpha=0.0)"
    assert format_method(parse("pcgrad(part='both')")) == "pcgrad"
    assert format_method(parse("pcgrad(part='direction')")) == "pcgrad(part='direction')"


@pytest.mark.parametrize(
    "text", ["upgrad + smooth(0.5)", "rotograd + bound(10)", "cagrad + smooth(share=0) + bound(1.5)"]
)
def test_changes_of_the_weights_have_one_written_form(text: str) -> None:
    method = parse(text)
    assert parse(format_method(method)) == method
    assert format_method(parse("pcgrad + smooth(share=1e-1) + bound(most=3)")) == "pcgrad + bound(3.0) + smooth(0.1)"


def test_every_name_of_another_library_is_one_of_ours() -> None:
    for here in SAME.values():
        parse(here.replace("...", "pcgrad"))
    assert not ELSEWHERE.keys() & METHODS.keys()


@pytest.mark.parametrize(
    "text", ["static(weight=(1,2,3))", "static(weight=[1.0, 2, 3])", "static(weight=(1.0,2.0,3.0))"]
)
def test_one_method_has_one_written_form(text: str) -> None:
    assert format_method(parse(text)) == "static(weight=(1.0, 2.0, 3.0))"
    assert format_method(parse("gradops(alpha=-0.0)")) == "gradops(alpha=0.0)"

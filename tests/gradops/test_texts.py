"""Methods as text: errors in the text, and the one canonical form of each method."""

from __future__ import annotations

import pytest

from gradops.methods import format_method, parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gradop", "one of cagrad"),
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
    "text", ["static(weight=(1,2,3))", "static(weight=[1.0, 2, 3])", "static(weight=(1.0,2.0,3.0))"]
)
def test_one_method_has_one_written_form(text: str) -> None:
    assert format_method(parse(text)) == "static(weight=(1.0, 2.0, 3.0))"
    assert format_method(parse("gradops(alpha=-0.0)")) == "gradops(alpha=0.0)"

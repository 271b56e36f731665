"""SQL expressions of tasks: parsed with a hint where a column's name is a SQL word, and held to their own row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

# Expressions that compute a row's value from the same row, by the names in Polars' serialised form. A name that is in
# none of these sets is refused: a newer Polars may name something that reads other rows.
_NODES = frozenset({"Alias", "BinaryExpr", "Cast", "Column", "Literal", "Ternary"})
_FAMILIES = frozenset({"ListExpr", "Pow", "StructExpr", "TemporalExpr", "Trigonometry"})
_FUNCTIONS = frozenset(
    {"Abs", "Atan2", "Ceil", "Coalesce", "Exp", "FillNull", "Floor", "Log", "Log1p", "MaxHorizontal", "MinHorizontal"}
    | {"Round", "Sign"}
)
_MEMBERS = {
    "Bitwise": frozenset({"CountOnes", "CountZeros"}),
    "Boolean": frozenset({"IsFinite", "IsIn", "IsInfinite", "IsNan", "IsNotNan", "IsNotNull", "IsNull", "Not"}),
    "Sql": frozenset({"Binary", "IsIn", "Round", "ToFloat"}),
}

OWN_ROW = "a label is told from its own row alone"
_WORD, _NUMBER = re.compile(r"[A-Za-z_]\w*"), re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_CLOCKS = frozenset({"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "NOW"})
# SQL's names of the functions that Polars has other names for.
_WRITTEN = {
    "Correlation": "CORR",
    "Explode": "UNNEST",
    "Len": "COUNT",
    "Mean": "AVG",
    "NUnique": "COUNT(DISTINCT)",
    "Range": "ROW_NUMBER",
    "Selector": "COLUMNS",
    "Shift": "LAG",
    "Std": "STDDEV",
    "SubPlan": "SELECT",
    "Var": "VARIANCE",
}


def parsed(text: str) -> pl.Expr:
    """The expression of a SQL text.

    Raises:
        ValueError: If the text is no expression. Columns whose names are SQL words are named, with the right way.
    """
    try:
        return pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        hint = _hint(text)
        raise ValueError(f"not a SQL expression over raw columns: {error}{hint}") from error


def beyond_its_row(text: str) -> list[str]:
    """SQL's names of the parts of an expression that read other rows, or the clock; empty if there are none."""
    clocks = [word for word in _bare_words(text) if word.upper() in _CLOCKS]
    tree = json.loads(pl.sql_expr(text).meta.serialize(format="json"))
    return list(dict.fromkeys([*(word.upper() for word in clocks), *_others(tree)]))


def _others(node: Any) -> Iterator[str]:
    """The parts of a serialised expression that are not computed from the same row."""
    if isinstance(node, str):
        yield from [] if node in _NODES else [_sql_name(node)]
        return
    ((name, content),) = node.items()
    if name in {"Column", "Literal"}:
        return
    if name == "Function":
        yield from _other_function(content["function"])
        inputs = content["input"]
    elif name == "Agg":
        yield _sql_name(_first_name(content))
        return
    elif name in _NODES:
        inputs = _operands(name, content)
    elif name == "Eval":  # of the entries of the row's own list
        inputs = [content["expr"]]
    else:
        yield _sql_name(name)
        return
    for operand in inputs:
        yield from _others(operand)


def _operands(name: str, content: Any) -> list[Any]:
    if name == "Alias":
        return [content[0]]
    keys = {"BinaryExpr": ("left", "right"), "Cast": ("expr",), "Ternary": ("predicate", "truthy", "falsy")}
    return [content[key] for key in keys[name]]


def _other_function(function: Any) -> Iterator[str]:
    family: str
    member: Any
    family, member = (function, "") if isinstance(function, str) else next(iter(function.items()))
    if family in _FUNCTIONS or family in _FAMILIES:
        return
    inner = _first_name(member)
    if family != "StringExpr":
        yield from [] if inner in _MEMBERS.get(family, ()) else [_sql_name(inner if family in _MEMBERS else family)]
    elif inner == "ConcatVertical":  # the only one that joins the texts of several rows
        yield "STRING_AGG"
    elif inner == "Strptime" and member[inner][1]["format"] is None:  # Polars reads all rows by the form of the first
        yield "DATE without a format"


def _first_name(content: Any) -> str:
    """The name of a serialised enum's member: a text, or the key of what it holds."""
    return content if isinstance(content, str) else str(next(iter(content), ""))


def _sql_name(name: str) -> str:
    return _WRITTEN.get(name, name.upper())


def _bare_words(text: str) -> list[str]:
    """The words of a SQL text outside of quotes."""
    return _WORD.findall(_QUOTED.sub(" ", text))


def _hint(text: str) -> str:
    """How to write an expression that is none: its columns in quotes, or without a subquery."""
    bare = dict.fromkeys(_bare_words(text))
    if "SELECT" in map(str.upper, bare):
        return f"; {OWN_ROW}, without a subquery"
    words = {word for word in bare if not _is_expression(word)}
    quoted = _replaced_outside_quotes(text, _WORD, lambda word: f'"{word}"' if word in words else word)
    if not words or not _is_expression(quoted):
        return ""
    listed = " and ".join(f"`{word}`" for word in bare if word in words)
    return f"; {listed} means something in SQL: write a column of that name in quotes, `{quoted}`"


def numbers_as_text(text: str) -> str:
    """A SQL text whose numbers are in quotes."""
    return _replaced_outside_quotes(text, _NUMBER, lambda number: f"'{number}'")


def _replaced_outside_quotes(text: str, pattern: re.Pattern[str], use: Callable[[str], str]) -> str:
    """A SQL text with a function of each match in place of the match, except in quotes."""
    parts, end = [], 0
    for quoted in [*_QUOTED.finditer(text), None]:
        plain = text[end : quoted.start() if quoted else None]
        parts += [pattern.sub(lambda found: use(found[0]), plain), quoted[0] if quoted else ""]
        end = quoted.end() if quoted else end
    return "".join(parts)


def _is_expression(text: str) -> bool:
    try:
        pl.sql_expr(text)
    except pl.exceptions.PolarsError:
        return False
    return True

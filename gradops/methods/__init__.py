"""Every method by name. A new one is one file here and one line in :data:`METHODS`."""

from __future__ import annotations

import ast
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, get_type_hints

from gradops.base import GramianMethod
from gradops.methods.cagrad import CAGrad as CAGrad
from gradops.methods.dw import DW as DW
from gradops.methods.gradnorm import GradNorm as GradNorm
from gradops.methods.gradops import GradOPS as GradOPS
from gradops.methods.gradops_static import GradOPSStatic as GradOPSStatic
from gradops.methods.gradvac import GradVac as GradVac
from gradops.methods.imtl_g import IMTLG as IMTLG
from gradops.methods.mgda import MGDA as MGDA
from gradops.methods.pcgrad import PCGrad as PCGrad
from gradops.methods.pcgrad_dw import PCGradDW as PCGradDW
from gradops.methods.static import Static as Static
from gradops.methods.uniform import Uniform as Uniform

METHODS: dict[str, type[GramianMethod]] = {
    "uniform": Uniform,
    "static": Static,
    "dw": DW,
    "pcgrad": PCGrad,
    "pcgrad_dw": PCGradDW,
    "gradvac": GradVac,
    "mgda": MGDA,
    "cagrad": CAGrad,
    "imtl_g": IMTLG,
    "gradnorm": GradNorm,
    "gradops": GradOPS,
    "gradops_static": GradOPSStatic,
}


def parse(text: str) -> GramianMethod:
    """A method from its written form: ``"pcgrad"``, ``"gradops(alpha=-2)"``. The inverse of :func:`write`.

    Raises:
        ValueError: If the name or an option is unknown, or an option is not a literal or out of range.
    """
    name, options = _read(text)
    if name not in METHODS:
        near = "".join(f" Did you mean `{n}`?" for n in get_close_matches(name, METHODS, n=1))
        raise ValueError(f"A method should be one of {', '.join(METHODS)}. Found `{name}`.{near}")
    kinds = get_type_hints(METHODS[name])
    # TOML and people write -2 for -2.0; one method should have one written form.
    options = {k: float(v) if kinds.get(k) is float and isinstance(v, int) else v for k, v in options.items()}
    known = [f.name for f in fields(METHODS[name])]  # type: ignore[arg-type]  # all are dataclasses
    if unknown := options.keys() - known:
        listed = ", ".join(known) or "none"
        raise ValueError(f"`{name}` should have options among these: {listed}. Found `{', '.join(sorted(unknown))}`.")
    try:
        return METHODS[name](**options)
    except TypeError as error:
        raise ValueError(f"`{text}` has an option of a wrong type: {error}.") from error


def write(method: GramianMethod) -> str:
    """A method's written form, with the options of its trade-off (the searched ones) and those not at their default."""
    name = next(name for name, kind in METHODS.items() if kind is type(method))
    values = {f: getattr(method, f.name) for f in fields(method)}  # type: ignore[arg-type]  # all are dataclasses
    options = [f"{f.name}={v!r}" for f, v in values.items() if "search" in f.metadata or v != f.default]
    return f"{name}({', '.join(options)})" if options else name


def _read(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options, unchecked."""
    try:
        match ast.parse(text.strip(), mode="eval").body:
            case ast.Name(id=name):
                return name, {}
            case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
                return name, {str(k.arg): ast.literal_eval(k.value) for k in keywords}
    except (SyntaxError, ValueError):
        pass
    raise ValueError(f"A method should be written `name` or `name(option=value)`. Found `{text}`.")

"""Every method by name. A new one is one file here and the line that imports it: the file's name is the method's."""

from __future__ import annotations

import ast
from dataclasses import Field, fields, replace
from difflib import get_close_matches
from inspect import isclass
from typing import Any, Literal, TypeVar, get_origin, get_type_hints

from gradops.adjusting import Bound, Smooth
from gradops.base import GramianMethod, Method
from gradops.elsewhere import ELSEWHERE, REFUSED_OPTIONS
from gradops.methods.aligned_mtl import AlignedMTL as AlignedMTL
from gradops.methods.autoscale import AutoScale as AutoScale
from gradops.methods.cagrad import CAGrad as CAGrad
from gradops.methods.db_mtl import DBMTL as DBMTL
from gradops.methods.dualproj import DualProj as DualProj
from gradops.methods.dw import DW as DW
from gradops.methods.dwa import DWA as DWA
from gradops.methods.fairgrad import FairGrad as FairGrad
from gradops.methods.famo import FAMO as FAMO
from gradops.methods.go4align import GO4Align as GO4Align
from gradops.methods.gradcraft import GradCraft as GradCraft
from gradops.methods.graddrop import GradDrop as GradDrop
from gradops.methods.gradnorm import GradNorm as GradNorm
from gradops.methods.gradops import GradOPS as GradOPS
from gradops.methods.gradops_static import GradOPSStatic as GradOPSStatic
from gradops.methods.gradvac import GradVac as GradVac
from gradops.methods.imtl_g import IMTLG as IMTLG
from gradops.methods.log_loss import LogLoss as LogLoss
from gradops.methods.mgda import MGDA as MGDA
from gradops.methods.mgda_ub import MGDAUB as MGDAUB
from gradops.methods.pcd import PCD as PCD
from gradops.methods.pcgrad import PCGrad as PCGrad
from gradops.methods.pcgrad_dw import PCGradDW as PCGradDW
from gradops.methods.pe_ltr import PELTR as PELTR
from gradops.methods.rlw import RLW as RLW
from gradops.methods.rotograd import RotoGrad as RotoGrad
from gradops.methods.rotograd_coop import RotoGradCoop as RotoGradCoop
from gradops.methods.rotograd_r import RotoGradR as RotoGradR
from gradops.methods.rotograd_scale import RotoGradScale as RotoGradScale
from gradops.methods.rotograd_v1 import RotoGradV1 as RotoGradV1
from gradops.methods.static import Static as Static
from gradops.methods.stch import STCH as STCH
from gradops.methods.uncertainty import Uncertainty as Uncertainty
from gradops.methods.uniform import Uniform as Uniform
from gradops.methods.upgrad import UPGrad as UPGrad
from gradops.rotation import Rotation

Part = TypeVar("Part", Method, Rotation, Bound, Smooth)

# What may follow a method's name, by its own name, which is also the method's field. Those for any method that weighs
# have one option, written without its name.
PARTS: dict[str, type[Rotation] | type[Bound] | type[Smooth]] = {"rotation": Rotation, "bound": Bound, "smooth": Smooth}

METHODS: dict[str, type[Method]] = {
    kind.__module__.rpartition(".")[2]: kind
    for kind in globals().copy().values()
    if isclass(kind) and issubclass(kind, Method) and kind.__module__.startswith(__name__)
}


def parse(text: str) -> Method:
    """A method from its written form, the inverse of :func:`format_method`.

    ``"pcgrad"``, ``"gradops(alpha=-2)"``; ``"gradops(alpha=-2) + rotation(size=64)"`` lets the towers read through
    rotations, ``"upgrad + bound(10) + smooth(0.9)"`` changes the weights. A method that has rotations of its own keeps
    what ``rotation(...)`` does not set.

    Raises:
        ValueError: If the name or an option is unknown, or an option is not a literal or out of range.
    """
    calls = [_call(node, text) for node in _summands(text)]
    name, options = calls[0]
    if name not in METHODS:
        raise ValueError(_unknown(name))
    method = _changed(METHODS[name], METHODS[name](), name, options)
    names = [part for part, _ in calls[1:]]
    if len(set(names)) < len(names) or not set(names) <= PARTS.keys():
        listed = " and ".join(f"one `+ {part}(...)`" for part in PARTS)
        raise ValueError(f"A method should be followed by {listed} at most. Found `{text}`.")
    for part, changes in calls[1:]:
        method = _with_part(method, part, changes, text)
    return method


def _with_part(method: Method, part: str, changes: dict[str, Any], text: str) -> Method:
    """A method with rotations, or with its weights changed."""
    if part == "rotation":
        return replace(method, rotation=_changed(Rotation, method.rotation or Rotation(), part, changes))
    if not isinstance(method, GramianMethod):
        raise ValueError(f"`{part}` should follow a method that weighs. Found `{text}`, which gives no weights.")
    if part == "bound":
        return replace(method, bound=_changed(Bound, Bound(), part, changes))
    return replace(method, smooth=_changed(Smooth, Smooth(), part, changes))


def format_method(method: Method) -> str:
    """A method's written form, with its searched options, and other options that differ from their default."""
    name = next(name for name, kind in METHODS.items() if kind is type(method))
    plain = type(method)()
    written = [_written(name, method, plain, [f for f in own_fields(type(method)) if "search" in f.metadata])]
    if method.rotation != plain.rotation:
        written.append(written_rotation(method.rotation, plain.rotation))
    written += [str(part) for part in (getattr(method, n, None) for n in PARTS if n != "rotation") if part is not None]
    return " + ".join(written)


def written_rotation(rotation: Rotation | None, plain: Rotation | None = None) -> str:
    """A rotation's written form: its options that differ from a plain one's."""
    assert rotation is not None, "no text takes away the rotations of a method"
    return _written("rotation", rotation, plain or Rotation(), [])


def _unknown(name: str) -> str:
    """The sentence about a name that no method has."""
    if name in ELSEWHERE:
        return f"A method should be one of {', '.join(METHODS)}. Found `{name}`, {ELSEWHERE[name]}."
    near = "".join(f" Did you mean `{n}`?" for n in get_close_matches(name, METHODS, n=1))
    return f"A method should be one of {', '.join(METHODS)}. Found `{name}`.{near}"


def _written(name: str, part: Part, plain: Part, always: list[Field[Any]]) -> str:
    """A name with the options that differ from a plain part's, and those in ``always``."""
    options = [
        f"{f.name}={getattr(part, f.name)!r}"
        for f in fields(part)
        if f in always or (f.name not in PARTS and getattr(part, f.name) != getattr(plain, f.name))
    ]
    return f"{name}({', '.join(options)})" if options else name


def own_fields(kind: type[Method]) -> list[Field[Any]]:
    """The options of a method, without the rotations and changes of weights that all have."""
    return [f for f in fields(kind) if f.name not in PARTS]


def _changed(kind: type[Part], part: Part, name: str, changes: dict[str, Any]) -> Part:
    """A method or a rotation with some options set."""
    known = [f.name for f in fields(kind) if f.name not in PARTS]
    if unknown := changes.keys() - known:
        listed = ", ".join(known) or "none"
        reasons = [f" `{o}` is not built: {why}." for o in sorted(unknown) if (why := REFUSED_OPTIONS.get((name, o)))]
        found = f"Found `{', '.join(sorted(unknown))}`.{''.join(reasons)}"
        raise ValueError(f"`{name}` should have options among these: {listed}. {found}")
    kinds = get_type_hints(kind)
    return replace(part, **{option: _typed(option, value, kinds[option]) for option, value in changes.items()})


def _typed(option: str, value: Any, kind: Any) -> Any:
    """An option's value as its field has it: people write -2 for -2.0, and a method should have one written form.

    Raises:
        ValueError: If the value is of another type.
    """
    if kind is float and type(value) in (int, float):
        return _number(option, value)
    if kind == tuple[float, ...] and type(value) in (tuple, list) and all(type(v) in (int, float) for v in value):
        return tuple(_number(option, v) for v in value)
    if (kind is int and type(value) is int) or (get_origin(kind) is Literal and type(value) is str):
        return value
    raise ValueError(f"`{option}` has a value of a wrong type. Found `{option} = {value!r}`.")


def _number(option: str, value: float) -> float:
    try:
        return float(value) + 0.0  # turns -0.0 into 0.0
    except OverflowError:
        raise ValueError(f"`{option}` should be a finite number. Found one of {len(str(value))} digits.") from None


def _summands(text: str) -> list[ast.expr]:
    """The summands of ``a + b + c``."""
    try:
        node, parts = ast.parse(text.strip(), mode="eval").body, []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _unreadable(text) from None
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


def _call(node: ast.expr, text: str) -> tuple[str, dict[str, Any]]:
    """Name and options as written, before any check."""
    try:
        match node:
            case ast.Name(id=name):
                return name, {}
            case ast.Call(func=ast.Name(id="bound" | "smooth" as name), args=[value], keywords=[]):
                return name, {fields(PARTS[name])[0].name: ast.literal_eval(value)}
            case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
                options = {str(k.arg): ast.literal_eval(k.value) for k in keywords}
                if len(options) == len(keywords):
                    return name, options
    except (ValueError, TypeError, RecursionError):
        pass
    raise _unreadable(text)


def _unreadable(text: str) -> ValueError:
    form = "`name`, `name(option=value)` or either with `+ rotation(option=value)`, `+ bound(10)` or `+ smooth(0.9)`"
    return ValueError(f"A method should be written {form}. Found `{text}`.")

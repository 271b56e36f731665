"""Every kind of feature by name. A new one is one file here and the line that imports it.

:class:`features.kinds.base.Kind` is the interface of every kind. Code outside this folder uses only the interface and
never asks which kind a feature is.
"""

from __future__ import annotations

from functools import reduce
from inspect import isabstract, isclass
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from features.kinds.base import Kind
from features.kinds.categorical import Categorical as Categorical
from features.kinds.cross import Cross as Cross
from features.kinds.multi_hot import MultiHot as MultiHot
from features.kinds.numeric import Numeric as Numeric
from features.kinds.time import Time as Time

KINDS: tuple[type[Kind], ...] = tuple(
    kind for kind in globals().copy().values() if isclass(kind) and issubclass(kind, Kind) and not isabstract(kind)
)

if TYPE_CHECKING:
    Feature = Kind
else:
    Feature = Annotated[reduce(or_, KINDS), Field(discriminator="kind")]

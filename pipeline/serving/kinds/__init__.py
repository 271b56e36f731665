"""Every kind of served model by name. A new one is one file here and the line that imports its content.

The content's field ``kind`` names it; its interface is :mod:`pipeline.serving.kinds.base`.
"""

from __future__ import annotations

from inspect import isabstract, isclass
from typing import Any

from features.nearest import nearest
from pipeline.serving.kinds.base import Content
from pipeline.serving.kinds.boosting import BoostingContent as BoostingContent
from pipeline.serving.kinds.bundle import BundleContent as BundleContent
from pipeline.serving.kinds.ensemble import EnsembleContent as EnsembleContent
from pipeline.serving.kinds.network import NetworkContent as NetworkContent

CONTENTS: dict[str, type[Content]] = {
    content.model_fields["kind"].default: content
    for content in globals().copy().values()
    if isclass(content) and issubclass(content, Content) and not isabstract(content)
}


def parse_content(written: Any) -> Content:
    """Turn the content of ``model.json`` into that of the kind that it names.

    Args:
        written: The content as read; without ``kind`` it is that of a network.

    Raises:
        ValidationError: If keys are unknown or values wrong: pydantic's, which lists all of them.
        ValueError: If ``kind`` names no kind, or the content is no object.
    """
    if not isinstance(written, dict):
        raise ValueError(f"it should be a JSON object, found {type(written).__name__}")
    kind = written.get("kind", "network")
    if not isinstance(kind, str) or kind not in CONTENTS:
        near = f"did you mean `{name}`? " if (name := nearest(str(kind), CONTENTS)) else ""
        raise ValueError(f"kind: {near}a served model is one of {', '.join(CONTENTS)}, found {str(kind)[:100]!r}")
    return CONTENTS[kind].model_validate(written)

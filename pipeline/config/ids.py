"""The section ``[train.ids.<table>]``: the ids of a table that a run reads as unknown."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from features.declared import Declared


class IdsConfig(Declared):
    """The ids of one table that count as out of vocabulary in a run; prepared data keeps them all.

    Args:
        left_out: Whether all of them do, so that the network learns nothing of the features that read the table.
        min_count: Ids that training rows have fewer times do.
        dropout: Probability that a known id does, drawn for each id of each training batch.
    """

    # Left out where they are the default: a key that comes later does not change the fingerprints of older runs.
    left_out: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    min_count: Annotated[PositiveInt, Field(exclude_if=lambda value: value == 1)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1, exclude_if=lambda value: not value)] = 0.0

    @model_validator(mode="after")
    def _changes_something(self) -> IdsConfig:
        if not (self.left_out or self.min_count > 1 or self.dropout):
            raise ValueError("give `left_out`, `min_count` or `dropout`, or leave the section out")
        if self.left_out and (self.min_count > 1 or self.dropout):
            raise ValueError("`left_out` leaves no ids for `min_count` or `dropout`; give it alone")
        return self

"""Hints in the names of columns: identity, amount, time, or an outcome that would give a label away.

A name is only a hint. It decides where values alone cannot: whether integers name something or count something, and
which columns were probably written after the row's own event.
"""

from __future__ import annotations

import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z]?|[^\W\d_a-zA-Z]+")
# `7d`, `30d`, `24h`: the window of a count.
_WINDOW = re.compile(r"\d+[dhmwy]")

_USERS = frozenset("user users customer client member visitor account buyer shopper player uid userid".split())
_SESSIONS = frozenset("session visit sessionid".split())
_IDENTITIES = frozenset(
    "id ids uid uuid guid sku asin isbn code zip postcode postal key hash name category categories type kind class "
    "brand city country region state store shop seller merchant vendor campaign device channel segment group cluster "
    "bucket page position slot rank version os browser language locale gender sex color colour platform referrer "
    "department section tier level status hour weekday dow month day week quarter year band bin label flag item "
    "product article user customer session query term tag genre author publisher".split()
)
_AMOUNTS = frozenset(
    "count counts n num number nr total sum amount price prices cost fee value age days hours minutes seconds secs ms "
    "duration elapsed since length len size width height depth area score rating stars ratio rate share percent pct "
    "probability prior previous clicks views visits orders buys purchases carts favs wishes spend spent stock quantity "
    "qty balance income revenue salary wage weight distance km miles meters lat latitude lon lng longitude temperature "
    "discount relevance mean avg average median min max std gains losses dividends worked budget bid ctr cvr".split()
)
_TIMES = frozenset("time timestamp ts datetime date at epoch when day moment created clicked viewed utc".split())
# A row's own event, as the usual names have it, before times of other things.
_OWN_TIMES = (
    "timestamp ts event_time event_timestamp time datetime event_ts clicked_at click_time viewed_at view_time date "
    "event_date impression_time request_time created_at server_time log_time dt day"
).split()
_OUTCOMES = frozenset(
    "purchase purchased buy bought order ordered cart carted wish wished wishlist fav favourite favorite favourited "
    "favorited like liked click clicked convert converted conversion checkout paid payment refund refunded returned "
    "churn churned subscribe subscribed signup install installed download downloaded share shared comment commented "
    "follow followed watch watched finish finished complete completed label target response responded outcome "
    "attributed revenue".split()
)
# Words beside an outcome's that leave it one: `is_bought`, `order_value`, `purchased_at`.
_BESIDE_OUTCOMES = frozenset(
    "is was has did y flag label target to add added after post later amount value id price time at date ts timestamp "
    "status quantity qty total sum revenue".split()
)
_LABELS = frozenset(
    "purchase purchased buy bought cart carted add wish wished wishlist fav favourite favorite like liked click "
    "clicked convert converted conversion order ordered churn churned subscribe subscribed install label target "
    "response is was has did y flag to long view follow forward comment finish share".split()
)
# Also pandas' `Unnamed: 0` and `__index_level_0__`.
_ROW_NUMBERS = frozenset("row rows index idx rownum rowid unnamed line".split())
_BESIDE_ROW_NUMBERS = frozenset("id number num no nr level 0".split())
_ROW_WEIGHTS = frozenset("sample instance row survey case observation".split())


def words(name: str) -> list[str]:
    """The words of a column's name in small letters: of `userPriorClicks_7d`, user, prior, clicks, 7d."""
    return [word.casefold() for word in _WORDS.findall(name)]


def names_something(name: str) -> bool | None:
    """Whether integers of this name are identities (true) or amounts (false); None if the name does not say.

    The last word that says something decides: an ``item_id`` is an identity, ``item_prior_clicks`` are amounts.
    """
    if "per" in words(name):
        return False  # a wage per hour
    for word in reversed(words(name)):
        if word in _AMOUNTS or _WINDOW.fullmatch(word):
            return False
        if word in _IDENTITIES or (word.endswith("id") and len(word) > 3):
            return True
    return None


def is_time(name: str) -> bool:
    """Whether a name speaks of a moment, so that its integers may be numbers since 1970."""
    said = words(name)
    return bool(said) and (not _TIMES.isdisjoint(said)) and names_something(name) is not False


def own_time_rank(name: str) -> int:
    """How usual a name is for the time of a row's own event, 0 first."""
    plain = "_".join(words(name))
    return _OWN_TIMES.index(plain) if plain in _OWN_TIMES else len(_OWN_TIMES)


def is_own_time(name: str) -> bool:
    """Whether a name is a usual one of the time of a row's own event, as `clicked_at` in a log of clicks."""
    return own_time_rank(name) < len(_OWN_TIMES)


def is_outcome(name: str) -> bool:
    """Whether a name says that something came of the row, as `purchase`, `order_value` and `is_refunded` do.

    Not where it speaks of anything else: `user_prior_buys` and `orders_30d` are history.
    """
    said = set(words(name))
    return not said.isdisjoint(_OUTCOMES) and said <= _OUTCOMES | _BESIDE_OUTCOMES


def is_label(name: str) -> bool:
    """Whether a column of two values is probably a label, by its name."""
    said = set(words(name))
    return not said.isdisjoint(_OUTCOMES) and said <= _LABELS | _OUTCOMES


def is_row_weight(name: str) -> bool:
    """Whether a name says how much a row counts."""
    said = set(words(name))
    return "weight" in said and not said.isdisjoint(_ROW_WEIGHTS)


def is_row_number(name: str) -> bool:
    """Whether a name says the place of a row in its file."""
    said = set(words(name))
    return not said.isdisjoint(_ROW_NUMBERS) and said <= _ROW_NUMBERS | _BESIDE_ROW_NUMBERS


def is_user(name: str) -> bool:
    """Whether a name is that of users, whose rows belong together."""
    return not _USERS.isdisjoint(words(name)) and names_something(name) is True


def is_session(name: str) -> bool:
    """Whether a name is that of sessions."""
    return not _SESSIONS.isdisjoint(words(name)) and names_something(name) is True

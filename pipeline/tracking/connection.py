"""The line to a tracking store that may be away: what is tried, how long, and when again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten

from mlflow.exceptions import MlflowException
from requests import HTTPError, RequestException
from sqlalchemy.exc import SQLAlchemyError

from features.errors import InputError
from pipeline.files.redaction import without_passwords
from pipeline.tracking.errors import AwayError
from pipeline.tracking.store import shown_store

# What comes of a store that is not there; HTTP errors of artifacts are OSErrors, and so are those of a folder of them.
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)
_REFUSED = (401, 403)
# MLflow's own are 7 retries of 120 seconds: for a job that can do nothing else meanwhile.
_RETRIES, _SECONDS = 1, 15
_PAUSE = 30.0  # seconds; the least between two tries
_SHARE = 10  # pauses are so many times what the failed try took: no more than a tenth of a training is waited

_log = logging.getLogger(__name__)


class Line:
    """Tries to reach a store, and says once when it goes away and once when it is back.

    Args:
        store: The store, as it may be shown.
        kept: Where what is not sent waits.
    """

    def __init__(self, store: str, kept: str) -> None:
        self._store, self._kept = store, kept
        self._next, self._is_first = 0.0, True
        self.reason = ""

    @property
    def is_away(self) -> bool:
        """Whether the last try failed."""
        return bool(self.reason)

    def attempt(self, send: Callable[[], object], *, now: bool = False) -> bool:
        """Send something, if the store is there; whether it was sent.

        Args:
            send: What sends. It may be cut short anywhere, and is called again later.
            now: Try even if the last try was a moment ago.

        Raises:
            InputError: If the store does not let us in, and it is the first try. Later nothing ends a training.
            MlflowException: If the store answers, and what was sent is wrong.
        """
        if self.is_away and not now and time.monotonic() < self._next:
            return False
        began, is_first, self._is_first = time.monotonic(), self._is_first, False
        try:
            with impatient():
                send()
        except (*STORE_ERRORS, InputError) as error:
            if is_first and is_refused(error):
                raise _refusal(self._store, error) from None
            is_lost = is_refused(error) or is_away(error) or isinstance(error, OSError)
            if not is_lost and (is_first or not isinstance(error, InputError)):
                raise
            self._lost(error, time.monotonic() - began)
            return False
        if self.is_away:
            self.reason = ""
            _log.warning("%s is back", self._store)
        return True

    def _lost(self, error: Exception, seconds: float) -> None:
        self._next = time.monotonic() + max(_PAUSE, _SHARE * seconds)
        is_new, self.reason = not self.is_away, said(error)
        if is_new:
            _log.warning(
                "%s cannot be reached (%s): training goes on, what is not recorded is kept in %s and sent once it can",
                self._store,
                self.reason,
                self._kept,
            )


@contextmanager
def impatient(retries: int = _RETRIES, seconds: int = _SECONDS) -> Iterator[None]:
    """A store that does not answer costs seconds while the block runs, unless the user has set how long to wait.

    Args:
        retries: How often it is asked again.
        seconds: How long an answer may take.
    """
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": retries, "MLFLOW_HTTP_REQUEST_TIMEOUT": seconds}
    patience["PGCONNECT_TIMEOUT"] = seconds
    ours = {name: str(value) for name, value in patience.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextmanager
def reached(otherwise: str) -> Iterator[None]:
    """A store that is away while the block runs, or goes away, ends it within seconds and with one message.

    Args:
        otherwise: What that leaves behind, and the fix.

    Raises:
        AwayError: If it is.
        InputError: If it does not let us in.
    """
    try:
        with impatient():
            yield
    except STORE_ERRORS as error:
        if is_refused(error):
            raise _refusal(shown_store(), error) from None
        if not is_away(error):
            raise
        raise AwayError(f"{shown_store()} cannot be reached ({said(error)}): {otherwise}") from None


def is_away(error: BaseException) -> bool:
    """Whether a store is not there for the moment; one that answers and refuses is.

    An OSError of another kind is that of a file here, or of a lock.
    """
    if isinstance(error, MlflowException):
        return _is_outage(error.get_http_status_code())
    if isinstance(error, HTTPError) and error.response is not None:
        return _is_outage(error.response.status_code)
    return isinstance(error, SQLAlchemyError | RequestException)


def _is_outage(status: int) -> bool:
    return status >= 500 or status == 429


def is_refused(error: BaseException) -> bool:
    """Whether a store is there, and does not let us in."""
    return isinstance(error, MlflowException) and error.get_http_status_code() in _REFUSED


def _refusal(store: str, error: BaseException) -> InputError:
    fix = "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and what the user may do there"
    return InputError(f"{store} does not let us in ({said(error)}); {fix}")


def said(error: BaseException) -> str:
    """What an error says, in a line that may be shown."""
    innermost = str(error).rpartition("Caused by ")[-1].rstrip(")")
    return shorten(without_passwords(innermost), width=300, placeholder=" ...")

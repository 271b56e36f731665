"""The connection to a tracking store that may be away (unreachable): timeouts, retries and kinds of errors."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten

from mlflow.exceptions import MlflowException
from requests import HTTPError, RequestException
from sqlalchemy.exc import SQLAlchemyError

from features.errors import InputError
from pipeline.files.redaction import without_passwords
from pipeline.tracking.errors import AwayError
from pipeline.tracking.store import redacted_store_uri

# Errors of a store that is away. HTTP errors of artifacts are OSErrors, as are errors of a local artifact folder.
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)
_REFUSED = (401, 403)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """The pause between a failed try to reach a store and the next one.

    Args:
        seconds: The shortest pause.
        factor: A pause lasts at least this many times as long as the failed try took. With 10, tries take at most a
            tenth of a training.
    """

    seconds: float = 30.0
    factor: float = 10.0


class StoreConnection:
    """Sends to a store if it can be reached, and logs once when it goes away and once when it is back.

    Args:
        store: The store's URI without passwords.
        kept: The folder that keeps unsent runs, for the log.
        retry: The pause after a failed try.
    """

    def __init__(self, store: str, kept: str, retry: RetryPolicy) -> None:
        self._store, self._kept, self._retry = store, kept, retry
        self._next, self._is_first = 0.0, True
        self.reason = ""

    @property
    def is_away(self) -> bool:
        """Whether the last try failed."""
        return bool(self.reason)

    def attempt(self, send: Callable[[], object], *, now: bool = False) -> bool:
        """Call a function that sends to the store, and return whether it succeeded.

        Args:
            send: The function. It may fail at any of its calls of the store; the caller tries it again later.
            now: Try even if the last try failed a moment ago.

        Raises:
            InputError: If the store refuses access at the first try. At later tries a refusal counts as being away,
                so that it does not end a training.
            MlflowException: If the store answers that the request is wrong.
        """
        if self.is_away and not now and time.monotonic() < self._next:
            return False
        began, is_first, self._is_first = time.monotonic(), self._is_first, False
        try:
            with short_timeouts():
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
        self._next = time.monotonic() + max(self._retry.seconds, self._retry.factor * seconds)
        is_new, self.reason = not self.is_away, error_text(error)
        if is_new:
            _log.warning(
                "%s cannot be reached (%s): training goes on; finished runs are kept in %s and sent when it is back",
                self._store,
                self.reason,
                self._kept,
            )


@contextmanager
def short_timeouts(retries: int = 1, seconds: int = 15) -> Iterator[None]:
    """Make MLflow give up on a silent store within seconds while the block runs; the user's own variables win.

    MLflow's own defaults are 7 retries of 120 seconds each.

    Args:
        retries: Number of tries after the first.
        seconds: The longest wait for an answer.
    """
    timeouts = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": retries, "MLFLOW_HTTP_REQUEST_TIMEOUT": seconds}
    timeouts["PGCONNECT_TIMEOUT"] = seconds
    ours = {name: str(value) for name, value in timeouts.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextmanager
def require_store(consequence: str) -> Iterator[None]:
    """Turn the errors of a store that is away into one message, within seconds.

    Args:
        consequence: The end of the message: the state that the command leaves behind, and the fix.

    Raises:
        AwayError: If the store is away, or goes away while the block runs.
        InputError: If the store refuses access.
    """
    try:
        with short_timeouts():
            yield
    except STORE_ERRORS as error:
        if is_refused(error):
            raise _refusal(redacted_store_uri(), error) from None
        if not is_away(error):
            raise
        raise AwayError(f"{redacted_store_uri()} cannot be reached ({error_text(error)}): {consequence}") from None


def is_away(error: BaseException) -> bool:
    """Whether an error means that a store is away; a store that answers with a refusal is not away.

    Other kinds of OSError concern a local file or a lock.
    """
    if isinstance(error, MlflowException):
        return _is_outage(error.get_http_status_code())
    if isinstance(error, HTTPError) and error.response is not None:
        return _is_outage(error.response.status_code)
    return isinstance(error, SQLAlchemyError | RequestException)


def _is_outage(status: int) -> bool:
    return status >= 500 or status == 429


def is_refused(error: BaseException) -> bool:
    """Whether an error means that a store answers and refuses access."""
    return isinstance(error, MlflowException) and error.get_http_status_code() in _REFUSED


def _refusal(store: str, error: BaseException) -> InputError:
    fix = "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and the user's permissions there"
    return InputError(f"{store} does not let us in ({error_text(error)}); {fix}")


def error_text(error: BaseException) -> str:
    """An error's message in one line, without passwords."""
    innermost = str(error).rpartition("Caused by ")[-1].rstrip(")")
    return shorten(without_passwords(innermost), width=300, placeholder=" ...")

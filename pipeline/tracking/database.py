"""Databases behind MLflow: whether they are there, and whose tables they hold; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool


def is_database(uri: str) -> bool:
    """Whether a store is a database of its own, not a server in front of one."""
    return "://" in uri and not uri.startswith(("http://", "https://", "file://", "databricks"))


def check_database(uri: str) -> None:
    """Connect to a store that is a database, once: MLflow itself takes two minutes to find that nobody answers.

    Raises:
        SQLAlchemyError: If it is not there.
    """
    if is_database(uri) and not uri.startswith("sqlite:"):  # which is made where it is not
        with connected(uri):
            pass


def revision(uri: str) -> str | None:
    """The revision of MLflow's tables; None where there are none yet.

    Raises:
        SQLAlchemyError: If the database is not there.
    """
    with connected(uri) as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    return str(found)


@contextmanager
def connected(uri: str) -> Iterator[Connection]:
    """A connection for a question or two, closed at the end."""
    with sqlalchemy.create_engine(uri, poolclass=NullPool).connect() as connection:
        yield connection

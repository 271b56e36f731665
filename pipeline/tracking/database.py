"""Checks of the databases behind MLflow: do they answer, and which MLflow made their tables. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool


def is_database(uri: str) -> bool:
    """Whether a store is a database that we connect to directly, not a server in front of one."""
    return "://" in uri and not uri.startswith(("http://", "https://", "file://", "databricks"))


def check_database(uri: str) -> None:
    """Connect once to a store if it is a database: MLflow itself takes two minutes to give up on a silent one.

    Raises:
        SQLAlchemyError: If it does not answer.
    """
    if is_database(uri) and not uri.startswith("sqlite:"):  # MLflow makes a SQLite file where there is none
        with connected(uri):
            pass


def revision(uri: str) -> str | None:
    """The revision of MLflow's tables; None if there are no tables yet.

    Raises:
        SQLAlchemyError: If the database does not answer.
    """
    with connected(uri) as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    return str(found)


@contextmanager
def connected(uri: str) -> Iterator[Connection]:
    """A connection to a database, closed at the end of the block."""
    with sqlalchemy.create_engine(uri, poolclass=NullPool).connect() as connection:
        yield connection

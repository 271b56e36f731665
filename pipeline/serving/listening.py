"""The address that a server listens at: taken before a model is loaded, open once it can answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from features.errors import InputError


@contextmanager
def bound_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets that hold a port at each address of a host while the block runs; none of them listens yet.

    Args:
        host: A name or an address of this machine.
        port: The port; 0 for any that is free.

    Raises:
        InputError: If the host is no address of this machine, or the port is taken or not allowed.
    """
    with ExitStack() as stack:
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            # With the protocol named: asyncio sends the small answers of other sockets 40 ms late (Nagle's algorithm).
            found = [stack.enter_context(socket.socket(*kind)) for *kind, _, _ in places]
            for one, (family, _, _, _, address) in zip(found, places, strict=True):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                # All addresses of a host have one port: that which the first was given.
                one.bind((address[0], port or found[0].getsockname()[1], *address[2:]))
        except (OSError, UnicodeError) as error:  # a name with an empty part is no name
            raise unable(host, port, error) from None
        yield found


def unable(host: str, port: int, error: OSError | UnicodeError) -> InputError:
    """The error that a server cannot listen at an address."""
    fix = "give another `--port`, 0 for any that is free, or another `--host`"
    return InputError(f"cannot listen at {url(host, port)} ({getattr(error, 'strerror', None) or error}); {fix}")


def url(host: str, port: int) -> str:
    """The address of a server, as a client writes it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

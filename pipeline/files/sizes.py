"""Numbers of bytes in words."""


def size(number: int) -> str:
    """A number of bytes in readable units."""
    if number >= 2**30:
        return f"{number / 2**30:.1f} GiB"
    return f"{number / 2**20:.{0 if number >= 10 * 2**20 else 1}f} MiB"

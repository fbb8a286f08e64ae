"""Gives free memory back to the operating system: what a burst took is not kept for ever."""

import ctypes
from collections.abc import Callable


def _trim_of_glibc() -> Callable[[int], object]:
    """`malloc_trim`, which returns free pages of the whole heap; elsewhere nothing is needed."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return lambda _: None


_trim = _trim_of_glibc()


def give_back() -> None:
    """Return what is free; takes milliseconds.

    By itself glibc returns only what is free at the very end of its heap, and there it keeps up to
    twice the largest block that was ever freed.
    """
    _trim(0)

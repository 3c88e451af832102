"""The masks of WebSocket frames (RFC 6455 section 5.3)."""

from __future__ import annotations

import functools
from typing import Final

from ..slices import pause

_MASK: Final = 4
_LARGE: Final = 1024
"""From this many bytes on, masking by table is faster than by integer."""


def masking(data: bytes, mask: bytes, /) -> bytes:
    """Return data masked, or masked data unmasked: it is the same operation.

    Raises ValueError where the mask has not 4 bytes.
    """
    if len(mask) != _MASK:
        raise ValueError("a mask has 4 bytes")
    if len(data) >= _LARGE:
        return _masking_by_table(data, mask)
    size = len(data)
    pattern = (mask * (size // _MASK + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def _masking_by_table(data: bytes, mask: bytes) -> bytes:
    """Do the same for each byte of the mask in turn: at 64 KiB in a tenth of the time."""
    out = bytearray(data)
    for at, key in enumerate(mask):
        pause()
        out[at::_MASK] = out[at::_MASK].translate(_table(key))
    return bytes(out)


@functools.cache
def _table(key: int) -> bytes:
    """Return what each byte is under one byte of a mask: 256 tables of 256 bytes at most."""
    return bytes(one ^ key for one in range(256))

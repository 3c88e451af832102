"""HAProxy, passing through on one thread."""

from __future__ import annotations

from typing import Final

from .base import PASSING, Peer, Place, fill, needs, said


def _prepare(place: Place) -> list[str]:
    return ["haproxy", "-db", "-f", str(fill("haproxy.cfg", place))]


def _version() -> str:
    return "HAProxy " + said(r"version (\S+)", "haproxy", "-v")


PEERS: Final = (Peer("HAProxy", PASSING, lambda: needs("haproxy"), _version, _prepare),)

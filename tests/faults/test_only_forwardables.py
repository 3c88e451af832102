"""Only a Forwardable can be sent, upstream or to the client; nothing that looks like one."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.transform import Forwardable, Frame
from proxy.traffic.http1.framing import ABSENT
from proxy.traffic.http1.pointing_headers import NO_REWRITE
from proxy.traffic.upstream.client import HttpUpstream
from proxy.traffic.upstream.permits import Claim
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, connected, get, running, talk

REQUEST = RequestHead("POST", "/seal", None, ())
RESPONSE = ResponseHead(200, b"OK", ())


class NoBody:
    """A request without a body."""

    framing = ABSENT
    arrived = 0

    def take(self) -> bytes:
        return b""


def lookalike(head: RequestHead | ResponseHead) -> Any:  # noqa: ANN401 - it shall pass for another
    """Return what has every attribute of a Forwardable."""
    slots = dict.fromkeys((*Forwardable.__slots__, *Frame.__slots__), False)
    return SimpleNamespace(
        **{**slots, "head": head, "body": b"x", "media_type": None, "added_headers": ()}
    )


class Child(Forwardable):
    """A class of its own cannot leave out what the parent asks for."""


def test_a_subclass_cannot_be_made_either() -> None:
    with pytest.raises(TypeError, match="only the rule engine"):
        Child(None, Frame(REQUEST), b"x", None)


@pytest.mark.parametrize(
    "thing", [lookalike(REQUEST), REQUEST, b"POST / HTTP/1.1\r\n\r\n", None, {"body": b"x"}]
)
async def test_the_upstream_sends_nothing_else(thing: Any) -> None:  # noqa: ANN401 - anything
    origin = Origin()
    async with running(origin), proxied(local(origin.port)) as ours:
        body: Any = NoBody()
        with pytest.raises((TypeError, AttributeError)):
            await ours.upstream.send(thing, body, Claim("", ""))
        assert origin.connections == 0
        assert (await talk(ours.port, get())).status == 200


@pytest.mark.parametrize("thing", [lookalike(RESPONSE), RESPONSE, b"HTTP/1.1 200 OK", None])
async def test_the_client_is_sent_nothing_else(thing: Any) -> None:  # noqa: ANN401 - anything
    class Forging:
        """An answerer that relays what no rule has released."""

        def __init__(self, handler: Any) -> None:  # noqa: ANN401 - the handler
            self.reject = handler.reject
            self.told: list[str] = []

        def depart(self, *_: object) -> bool:
            return False

        async def handle(self, request: Any) -> None:  # noqa: ANN401 - any Request
            framing = SimpleNamespace(length=1, present=True, chunked=False)
            response = SimpleNamespace(bodiless=False, head=RESPONSE, framing=framing)
            response.take = lambda: b"x"
            try:
                await request.relay(thing, response, location_rewrite=NO_REWRITE)
            except TypeError as error:
                self.told.append(str(error))
                raise

    origin = Origin()
    async with running(origin), proxied(local(origin.port)) as ours:
        listener: Any = ours.listener
        forging = listener.answerer = Forging(listener.answerer)
        async with connected(ours.port) as client:
            client.send(get())
            assert await client.rest() == b""
        assert forging.told == ["only a Forwardable can be sent"]


def test_the_upstream_sends_nothing_but_deliveries() -> None:
    """Each of which holds a Forwardable, as the tests above show."""
    ways = {
        name: [str(one.annotation) for one in inspect.signature(member).parameters.values()]
        for name, member in inspect.getmembers(HttpUpstream)
        if not name.startswith("_") and inspect.isfunction(member)
    }
    sending = {
        name for name, taken in ways.items() if {"Forwardable", "OutgoingRequest"} & set(taken)
    }
    assert sending == {"send"}
    assert set(ways) - sending == {"close"}

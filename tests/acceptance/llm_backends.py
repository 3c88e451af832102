"""A small model server, and a gateway in front of it: both keep all that they get.

The server speaks the protocol of chat completions as clients of OpenAI expect it. It has no model:
what it says is in the request, or was said to it before the test. The gateway hands on what comes,
in pieces of its own, and writes down what it sees.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.servers import PATIENCE_SECONDS

HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}
)
REFUSAL: Final = {"error": {"message": "too many requests", "type": "limit", "code": None}}
ARGUMENTS: Final = '{"patient": "%s", "dose": 2}'


def words(text: str) -> list[str]:
    """Return a text as a model would send it: in parts of a few characters, one of them empty."""
    return ["", *(text[at : at + 5] for at in range(0, len(text), 5))]


def whole(stream: bytes) -> Iterable[bytes]:
    """Send all at once: many events in one chunk."""
    return [stream]


def by_bytes(stream: bytes) -> Iterable[bytes]:
    """Send each byte by itself."""
    return [bytes([one]) for one in stream]


def in_line_ends(stream: bytes) -> Iterable[bytes]:
    """Cut within each CRLF."""
    first, *others = stream.split(b"\r\n")
    return [first + b"\r", *(b"\n" + one + b"\r" for one in others[:-1]), b"\n" + others[-1]]


def by_events(stream: bytes) -> Iterable[bytes]:
    """Send each event by itself."""
    return [one + b"\n\n" for one in stream.split(b"\n\n") if one]


def in_odd_pieces(stream: bytes) -> Iterable[bytes]:
    """Send pieces of seven, sixty-one and a thousand bytes in turn."""
    pieces: list[bytes] = []
    at = 0
    for size in itertools.cycle((7, 61, 1000)):
        if at >= len(stream):
            return pieces
        pieces.append(stream[at : at + size])
        at += size
    raise AssertionError


Cut = Callable[[bytes], Iterable[bytes]]
CHUNKINGS: Final[dict[str, tuple[str, Cut]]] = {
    "whole": ("\n", whole),
    "bytes": ("\n", by_bytes),
    "events": ("\n", by_events),
    "odd": ("\n", in_odd_pieces),
    "crlf-whole": ("\r\n", whole),
    "crlf-cut": ("\r\n", in_line_ends),
    "crlf-bytes": ("\r\n", by_bytes),
    "cr-bytes": ("\r", by_bytes),
}
"""How a stream is written and cut, by the name of the model that is asked for."""


@dataclass
class ChatServer:
    """Says what it is told to. `got` are the bodies of its requests.

    `pause` are the seconds between the pieces of a stream, `coding` is its Content-Encoding. `more`
    are members that each delta and message has besides.
    """

    answer: str = ""
    pause: float = 0.0
    coding: str | None = "none"
    more: dict[str, str] = field(default_factory=dict)
    got: list[Any] = field(default_factory=list)

    def app(self) -> web.Application:
        """Return the application."""
        made = web.Application()
        made.router.add_post("/v1/chat/completions", self.complete)
        made.router.add_get("/v1/models", self.models)
        return made

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "whole", "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.got.append(asked)
        if asked["messages"][-1]["content"] == "fail":
            said = {"message": f"no answer to {self.answer}", "type": "bad", "code": None}
            return web.json_response({"error": said}, status=400)
        if not asked.get("stream"):
            return web.json_response(self._completion(asked))
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        if self.coding is not None:
            headers["Content-Encoding"] = self.coding
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        end, _ = CHUNKINGS[asked["model"]]
        events = [": stream", *(f"data: {json.dumps(one)}" for one in self._chunks(asked))]
        stream = "".join(f"{one}\n\n" for one in [*events, "data: [DONE]"]).replace("\n", end)
        for piece in self.cut(stream.encode(), asked["model"]):
            await response.write(piece)
            await asyncio.sleep(self.pause)
        await response.write_eof()
        return response

    def cut(self, stream: bytes, model: str) -> Iterable[bytes]:
        """Return the pieces in which a stream is sent."""
        return CHUNKINGS[model][1](stream)

    def _completion(self, asked: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        message = {
            "role": "assistant",
            "content": self.answer,
            "refusal": None,
            "annotations": [{"type": "note", "text": self.answer}],
            **self.more,
        }
        choice = {"index": 0, "message": message, "logprobs": None, **_end(asked, "stop")}
        return {**_envelope(asked, "chat.completion"), "choices": [choice], "usage": _USAGE}

    def _chunks(self, asked: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401 - JSON
        common = _envelope(asked, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], index: int = 0, reason: str | None = None) -> Any:  # noqa: ANN401 - JSON
            delta |= self.more
            choice = {"index": index, "delta": delta, "logprobs": None, **_end(asked, reason)}
            return {**common, "choices": [choice], "obfuscation": "x" * (len(str(delta)) % 7)}

        choices = range(asked.get("n") or 1)
        for index in choices:
            yield chunk({"role": "assistant", "content": "", "refusal": None}, index)
        if asked.get("tools"):
            arguments = ARGUMENTS % self.answer
            call = {"index": 0, "id": "call-1", "type": "function"}
            yield chunk({"tool_calls": [{**call, "function": {"name": "give", "arguments": ""}}]})
            for word in words(arguments):
                yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": word}}]})
            yield chunk({}, reason="tool_calls")
        else:
            for word in words(self.answer):
                for index in choices:
                    yield chunk({"content": word}, index)
            for index in choices:
                yield chunk({}, index, "stop")
        if (asked.get("stream_options") or {}).get("include_usage"):
            yield {**common, "choices": [], "usage": _USAGE}


def _end(asked: Any, reason: str | None) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return why a choice ends: vLLM tells also which of the texts of `stop` it was."""
    stop = asked.get("stop") if reason == "stop" else None
    return {"finish_reason": reason, "stop_reason": stop[0] if stop else None}


_USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def _envelope(asked: Any, kind: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"]}


@dataclass
class Gateway:
    """Hands on to another port what comes, or `refuses` it with a message of its own.

    `seen` is all of it, both ways, heads and bodies; `bodies` are those of responses alone.
    """

    to: int = 0
    seen: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    cut: Cut = whole
    refuses: bool = False

    def app(self) -> web.Application:
        """Return the application."""
        made = web.Application()
        made.cleanup_ctx.append(self._client)
        made.router.add_route("*", "/{tail:.*}", self.hand_on)
        return made

    async def _client(self, _: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as self._session:
            yield

    async def hand_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen += (repr(request.raw_headers).encode(), request.raw_path.encode(), body)
        if self.refuses:
            return web.json_response(REFUSAL, status=429)
        headers = {name: one for name, one in request.headers.items() if name.lower() not in HOP}
        async with self._session.request(
            request.method,
            f"http://127.0.0.1:{self.to}{request.raw_path}",
            data=body or None,
            headers=headers,
        ) as response:
            kept = {k: v for k, v in response.headers.items() if k.lower() not in HOP}
            self.seen.append(repr(response.raw_headers).encode())
            out = web.StreamResponse(status=response.status, headers=kept)
            await out.prepare(request)
            async for data in response.content.iter_any():
                self.seen.append(data)
                self.bodies.append(data)
                for piece in self.cut(data):
                    await out.write(piece)
            await out.write_eof()
            return out

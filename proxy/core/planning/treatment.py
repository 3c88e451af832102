"""How a message is treated: decided once, by its head, for every lane that messages take.

A lane matches on the answer and carries out what it can; what it cannot, it leaves to the handler,
which can do all of it. No lane chooses a block by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from ..compiled.block import CompiledBlock
from ..crypto.sealed_stream import read_head
from ..errors import OpenFailed, UpstreamFailed
from ..formats.body_format import Kind
from ..formats.json.body import JSON
from ..formats.table import RECORDS
from ..http.message import RequestHead, ResponseHead, media_type
from ..policy import KEPT_BLOCKS
from .block_choice import (
    choose_bodiless,
    choose_response,
    fitting,
    flows_as_one,
    flows_in_parts,
    refuse_rejected,
)
from .exchange import Exchange
from .mistyped_response import Look, is_exact, may_be_mistyped, typed_by_look
from .record_stream import streamed_request, streamed_response

_PARTIAL_CONTENT: Final = 206


@dataclass(frozen=True, slots=True)
class Pass:
    """The message is forwarded with its body unread."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The request is read whole. Its body, which may be empty, decides which block takes it."""


@dataclass(frozen=True, slots=True)
class ReadResponse:
    """The response is read whole, and planned by `block` or by one that follows it in the rule."""

    block: CompiledBlock


@dataclass(frozen=True, slots=True)
class HeadOnly:
    """The response has no body (HEAD, 204, 304); `block` changes values of its head."""

    block: CompiledBlock


@dataclass(frozen=True, slots=True)
class LookAt:
    """The type of the response fits no block, but its body may be what `block` reads.

    A `Look` at the body is needed, then `treat_seen`. `reports` says that it is reported if it
    passes with something sealed in it.
    """

    block: CompiledBlock
    reports: bool


@dataclass(frozen=True, slots=True)
class StreamRecords:
    """The body is planned record by record as it arrives; `kind` is the format of the records."""

    block: CompiledBlock
    kind: Kind


@dataclass(frozen=True, slots=True)
class StreamBody:
    """The body is changed while it passes: to or from a sealed stream, or part by part."""

    block: CompiledBlock

    def suffices(self, beginning: bytes) -> bool:
        """Return whether this much of the body is enough to plan it.

        It never takes more than `sealed_stream.HEAD_MAX` bytes.
        """
        block = self.block
        if block.alone is None or block.alone is not block.whole_decrypt:
            return bool(beginning)
        try:
            return read_head(beginning) is not None
        except OpenFailed:
            return True  # nothing that follows could make a sealed stream of it


RequestTreatment: TypeAlias = Pass | ReadRequest | StreamRecords | StreamBody
SeenTreatment: TypeAlias = Pass | ReadResponse
ResponseTreatment: TypeAlias = SeenTreatment | HeadOnly | LookAt
ArrivingTreatment: TypeAlias = SeenTreatment | HeadOnly | StreamRecords | StreamBody

PASS: Final = Pass()
READ_REQUEST: Final = ReadRequest()


def treat_request(exchange: Exchange, length: int | None, limit: int) -> RequestTreatment:
    """Return how a request is treated.

    `length` is its Content-Length in bytes, None where it has none; `limit` is the largest body in
    bytes that may be read whole. Raises UnsupportedBody where its type or its coding is malformed,
    MethodNotAllowed and UnlistedName for a body that no rule reads.
    """
    compiled_rule = exchange.decision.compiled_rule
    if length != 0 and exchange.decision.takes_no_body:
        if length is not None:
            exchange.refuse_body()
        return READ_REQUEST  # a body in chunks may be empty
    if compiled_rule is None or not compiled_rule.request:
        return PASS
    too_long = length is None or length > limit
    if not too_long and not any(
        one.alone or one.traits.flows_in_parts for one in compiled_rule.request
    ):
        return READ_REQUEST
    block = fitting(compiled_rule.request, media_type(exchange.head.facts), None)
    if block is None:
        return READ_REQUEST  # planning refuses it, unless it is empty
    kind = streamed_request(block, exchange.head) if too_long else None
    if kind is not None:
        return StreamRecords(block, kind)
    return StreamBody(block) if _flows(block, exchange.head, length, limit) else READ_REQUEST


def treat_response(
    exchange: Exchange,
    head: ResponseHead,
    *,
    length: int | None = None,
    delimited: bool = True,
    bodiless: bool = False,
) -> ResponseTreatment:
    """Return how a response is treated if all of its body is there.

    `length` is its Content-Length in bytes, None where it has none. `delimited`: a truncated body
    would be noticed (RFC 9112 section 8). `bodiless`: HTTP gives it no body (HEAD, 204, 304).

    Raises:
        RejectedByRule: The rule rejects all responses.
        UnsupportedBody: A block that encrypts cannot read it.
        UpstreamFailed: It is partial content, or may have been truncated.
    """
    compiled_rule = exchange.decision.compiled_rule
    if compiled_rule is None:
        return PASS
    refuse_rejected(exchange)
    if not compiled_rule.response:
        return PASS
    if bodiless:
        block = choose_bodiless(exchange, head)
        return PASS if block is None else HeadOnly(block)
    # All of a head that chooses its block; None where that is more than a type.
    lone = head.facts.lone_type
    key = (head.status, lone) if delimited and lone is not None else None
    known = compiled_rule.chosen.get(key)
    if known is not None:
        return ReadResponse(known)
    _refuse_partial(head)
    block = choose_response(exchange, head)
    if block is None:
        block = may_be_mistyped(exchange, head)
        return PASS if block is None else LookAt(block, reports=not is_exact(head))
    if not delimited:
        kind = streamed_response(block, head, length)
        ends = kind is not None and RECORDS[kind].open_ended
        if not ends and not _shows_its_end(block, head):
            # Truncated and complete look alike: half a body must not pass for all of it.
            raise UpstreamFailed(
                "response-not-delimited",
                detail="Its end is that of its connection: `accept: undelimited` takes JSON.",
            )
    if key is not None and len(compiled_rule.chosen) < KEPT_BLOCKS:
        compiled_rule.chosen[key] = block
    return ReadResponse(block)


def _shows_its_end(block: CompiledBlock, head: ResponseHead) -> bool:
    """Return whether a cut body is no JSON, so that it could not pass for all of it."""
    media = media_type(head.facts)
    is_json = media is not None and media.is_json and block.kind(media) == JSON.kind
    return "undelimited" in block.block.accept and is_json and not block.traits.takes_whole


def treat_seen(
    exchange: Exchange, head: ResponseHead, look: Look
) -> tuple[ResponseHead, SeenTreatment]:
    """Return the head of a response as rules read it after a look, and how it is treated."""
    head, block = typed_by_look(exchange, head, look)
    return head, PASS if block is None else ReadResponse(block)


def as_it_arrives(
    treatment: SeenTreatment | HeadOnly, head: ResponseHead, length: int | None, limit: int
) -> ArrivingTreatment:
    """Return how a response is treated whose body is still to come.

    What would be read whole is a stream where it can be one: records that arrive without an end or
    in numbers, and bodies above `limit` bytes or whatever is longer than a token may be.
    """
    if not isinstance(treatment, ReadResponse):
        return treatment
    block = treatment.block
    kind = streamed_response(block, head, length)
    if kind is not None:
        return StreamRecords(block, kind)
    return StreamBody(block) if _flows(block, head, length, limit) else treatment


def _flows(
    block: CompiledBlock, head: RequestHead | ResponseHead, length: int | None, limit: int
) -> bool:
    """Return whether a block changes a body while it passes; a short multipart form is read."""
    if block.traits.flows_in_parts:
        return flows_in_parts(block, head) and (length is None or length > limit)
    return flows_as_one(block, head, length)


def _refuse_partial(head: ResponseHead) -> None:
    """Raise UpstreamFailed for partial content: Sealyard never asks for any where rules read."""
    if head.status == _PARTIAL_CONTENT:
        raise UpstreamFailed("unexpected-partial-content")
    for value in head.facts.get(b"content-type", ()):
        if value.lower().startswith(b"multipart/byteranges"):
            raise UpstreamFailed("unexpected-partial-content")

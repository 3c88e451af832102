"""The targets: each takes any bytes and raises only where a law of Sealyard is broken.

A law is written as a raise of Broken, so that it also holds under `python -O`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from proxy.config import load
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import sealed_stream, token
from proxy.core.crypto.context import Context
from proxy.core.errors import (
    AmbiguousRequest,
    BodyTooLarge,
    ConfigurationError,
    InvalidBody,
    InvalidExpression,
    MalformedRequest,
    OpenFailed,
    SealyardError,
    TrafficError,
    UpstreamFailed,
)
from proxy.core.expressions import routes, selectors, sources
from proxy.core.formats import embedded_tokens, token_places
from proxy.core.formats import json as json_format
from proxy.core.formats.body_format import Kind
from proxy.core.formats.escaping import ESCAPES, Manner
from proxy.core.formats.table import RECORDS, splitter
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.leaves import token_text
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Block, Item, Part, Rule
from proxy.core.transform import apply, plan_request, plan_response
from proxy.core.values.hows import Seal
from proxy.core.values.table import splice
from proxy.traffic.http1.gate import Admitted, RawRequest, admit
from proxy.traffic.http1.reader import RequestReader, ResponseReader
from tools.raw_requests import raw_request

from . import form_readers, forms, nested, operations, ordinary, seeds, sockets
from .session import NAMES, NOW, SCOPE, SESSION, keys

MOST_SECONDS: Final = 1.0
"""How much processor time one run may take."""

_BIND: Final[frozenset[Part]] = frozenset({"tenant", "conversation", "field"})


class Broken(Exception):
    """A law does not hold."""


class Target(NamedTuple):
    """A function of any bytes, and bytes to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def timed(run: Callable[[bytes], None], data: bytes) -> None:
    """Run a target once; raise Broken where it takes too long."""
    began = time.thread_time()
    run(data)
    if time.thread_time() - began > MOST_SECONDS:
        _broken("took more than a second")


def _broken(law: str) -> NoReturn:
    raise Broken(law)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


# --- requests ------------------------------------------------------------------------------------


def gate(data: bytes) -> None:
    """A head has one reading or is refused, and what was read is read the same again."""
    raw = _raw_request(data)
    if raw is None:
        return
    try:
        admitted = admit(raw)
    except TrafficError:
        return
    _check_admitted(admitted)
    head = admitted.head
    target = head.path if head.query is None else f"{head.path}?{head.query}"
    again = admit(raw_request(head.method, target, raw.version, head.headers))
    if again != admitted:
        _broken("what was admitted is not admitted as the same")


def _raw_request(data: bytes) -> RawRequest | None:
    """Return the head that bytes begin with, if they do."""
    try:
        found = RequestReader().read(data, 0, line=8190, head=65536, fields=100)
    except TrafficError:
        return None
    return None if found is None else found[0]


def _check_admitted(admitted: Admitted) -> None:
    head = admitted.head
    if admitted.path.text != head.path or not head.path.startswith("/"):
        _broken("the path that is matched is not the one that is forwarded")
    line = f"{head.method} {head.path}?{head.query}"
    if not line.isascii() or not line.isprintable() or line.count(" ") != 1:
        _broken("the request line could be read as more than it is")
    for name, value in head.headers:
        if set(name + value) & set(b"\r\n\0") or b":" in name:
            _broken("a header could be read as more than it is")


_TABLE: Final = routes.RouteTable(
    [
        (index, routes.parse_pattern(text))
        for index, text in enumerate(
            (
                "POST /api/pay",
                "/api/{name}/items/*",
                "GET,PUT /public/**",
                "WS /socket",
                "/",
                "/%C3%9F",
            )
        )
    ]
)


def path(data: bytes) -> None:
    """A canonical path is canonical, and the table finds its rule or refuses."""
    try:
        one = canonical(data.decode("utf-8", "surrogateescape"))
    except (MalformedRequest, AmbiguousRequest):
        return
    if canonical(one.text) != one:
        _broken("the canonical spelling is not canonical")
    if {"", ".", ".."} & set(one.segments[:-1]) or one.segments[-1] in {".", ".."}:
        _broken("an empty or a dot segment is left")
    for method in ("POST", "GET"):
        try:
            found = _TABLE.at(one).first(method)
        except AmbiguousRequest:
            continue
        if found is not None:
            found[1].captures(one)


# --- bodies --------------------------------------------------------------------------------------

_SELECTORS: Final = tuple(
    selectors.parse_json_selector(text)
    for text in (
        *("$.a", "$.b", "$.content", "$.a.b", "$['a b']", "$[0]", "$[1]", "$.*", "$[*]", "$..a"),
        *("$.a[*].b", "$.a.*.b", "$..b.a", "$..[0]", "$..*", "$.é", "$", "$.a[0][1]", "$..a..b"),
    )
)


def scanner(data: bytes) -> None:
    """Selected values are whole JSON values, and a splice keeps the rest."""
    if len(data) < _MASK_BYTES:
        return
    mask, body = int.from_bytes(data[:_MASK_BYTES]), data[_MASK_BYTES:]
    chosen = tuple(one for at, one in enumerate(_SELECTORS) if mask >> at & 1)
    try:
        findings = json_format.Selection(chosen).find(body)
    except InvalidBody:
        return
    json.loads(body)
    for found in findings.found:
        for one in found:
            if not 0 <= one.start < one.end <= len(body):
                _broken("a span is not within the body")
            json.loads(body[one.start : one.end])
            spliced = splice(body, [(one.start, one.end, b"0")])
            if spliced != body[: one.start] + b"0" + body[one.end :]:
                _broken("a splice changed the rest")
            json_format.validate(spliced)
    _compare_with_walk(chosen, body, findings)


_MASK_BYTES: Final = 3
_NOWHERE: Final = selectors.parse_json_selector("$[99999]")
"""Selects nothing, names no member, and is none of the plain names that the shortcut takes."""


def _compare_with_walk(
    chosen: tuple[selectors.JsonSelector, ...], body: bytes, findings: json_format.Findings
) -> None:
    """With one more selector that no shortcut takes, the walk finds what was found."""
    walked = json_format.Selection((*chosen, _NOWHERE)).find(body)
    if [sorted(one) for one in walked.found[:-1]] != [sorted(one) for one in findings.found]:
        _broken("the shortcut finds other values than the walk")


def embedded(data: bytes) -> None:
    """Tokens found in a body are tokens, in order, and what replaces them leaves it JSON."""
    manner = Manner(ESCAPES[len(data) % len(ESCAPES)])
    try:
        found = embedded_tokens.find(data, 64, manner)
    except InvalidBody:
        return
    at = 0
    changes = []
    for one in found:
        if not at <= one.start < one.end <= len(data):
            _broken("a token is not within the body, or two overlap")
        at = one.end
        stands = token_places.without_escapes(data[one.start : one.end])
        if one.token is not None and token.decode(stands) != one.token:
            _broken("a found token is not what stands there")
        is_json = one.token is not None and one.token.cty == token.CTY_JSON
        text = '{"a":"\\\\"}' if is_json else 'x"\\\n'
        new = embedded_tokens.written_in(one, text, opened=True)
        if new is not None:
            changes.append((*embedded_tokens.span_of(one), new))
    if changes:
        json_format.validate(splice(data, changes))


def _item(text: str) -> Item:
    return Item(
        selectors.parse_json_selector(text), "f", _BIND, "jwe", None, optional=True, purpose=None
    )


_RULE: Final = Rule(
    "fuzzed",
    (routes.parse_pattern("/f"),),
    NAMES,
    request=(Block(encrypt=(_item("$.content"), _item("$.list[*].text"))),),
    response=(Block(decrypt=(_item("$.content"), _item("$.list[*].text"))),),
)
_BOOK: Final = RuleTable((_RULE,), pass_unmatched=False)
_HEADERS: Final = ((b"Content-Type", b"application/json"),)


def exchange(data: bytes) -> None:
    """What a rule seals it opens again, and no byte beside the values differs."""
    head = RequestHead("POST", "/f", None, _HEADERS)
    trip = Exchange(_BOOK.decide("POST", canonical("/f")), head)
    response = ResponseHead(200, b"OK", _HEADERS)
    try:
        plan = plan_request(trip, data)
        sealed = apply(plan, keys(plan.needs), NOW)
    except SealyardError:
        return
    body = sealed.forwardable.body or b""
    values = plan.values
    if sum(sealed.counts.values()) != len(values) + len(values.noted):
        _broken("a value was not carried out")
    for row, how in enumerate(values.hows):
        start, end = values.span(row)
        value = data[start:end] if isinstance(how, Seal) else b""
        if len(value) > _TELLING and data.count(value) == 1 and value in body:
            _broken("a value that was to be sealed stands in what is forwarded")
    treatment = treat_response(trip, response)
    if not isinstance(treatment, ReadResponse) or not body:
        return
    back = plan_response(trip, treatment.block, response, body)
    opened = apply(back, keys(back.needs), NOW).forwardable.body or b""
    if json.loads(opened) != json.loads(data):
        _broken("what was sealed does not come back")


_TELLING: Final = 12
_CARD: Final = Item(selectors.parse_selector("part:card"), "card", _BIND)
_FILE: Final = Item(selectors.parse_selector("filename:card"), "file", _BIND, optional=True)
_FORM_BOOK: Final = RuleTable(
    (
        Rule(
            "fuzzed",
            (routes.parse_pattern("/f"),),
            NAMES,
            request=(Block(encrypt=(_CARD, _FILE)),),
            response=(Block(decrypt=(_CARD, _FILE)),),
        ),
    ),
    pass_unmatched=False,
)
_FORM_TYPES: Final = ("multipart/form-data; boundary=X-1", 'multipart/form-data; boundary="X-1"')


def parts(data: bytes) -> None:
    """No reader finds a selected value in what is forwarded, and all of it comes back."""
    if not data:
        return
    told, body = _FORM_TYPES[data[0] % 2], data[1:]
    headers = ((b"Content-Type", told.encode()),)
    trip = Exchange(
        _FORM_BOOK.decide("POST", canonical("/f")), RequestHead("POST", "/f", None, headers)
    )
    try:
        plan = plan_request(trip, body)
        sealed = apply(plan, keys(plan.needs), NOW).forwardable.body or b""
    except SealyardError:
        return
    for name, content in form_readers.all_of(told, sealed):
        if form_readers.names(name, "card") and seeds.CARD in content:
            _broken("a reader finds a value that was to be sealed")
    response = ResponseHead(200, b"OK", headers)
    treatment = treat_response(trip, response)
    if not isinstance(treatment, ReadResponse):
        _broken("what was sealed is not read again")
    back = plan_response(trip, treatment.block, response, sealed)
    opened = apply(back, keys(back.needs), NOW).forwardable.body
    # A media type and a filename with an encoding come back in their plain spelling, and only
    # these may differ.
    spelled_anew = any(one in body.lower() for one in (b"content-type", b"filename*"))
    if opened != body and not spelled_anew:
        _broken("what was sealed does not come back")


# --- tokens, frames and expressions --------------------------------------------------------------

_CUT_BYTES: Final = 3


def parser(data: bytes) -> None:
    """What decodes has one spelling, tags behind it apart, and opens only if it is ours."""
    try:
        one = token.decode(data)
    except OpenFailed:
        return
    json = one.cty is not None
    match one.form:
        case "base64":
            spelled = token.to_base64(one.head + one.iv + one.sealed)
        case "jwe":
            header = token.decode_header(one.head)
            spelled = token_text(
                token.encode_header(header.key_id, header.commitment, header.cty, header.exp),
                one.iv,
                one.sealed,
            )
        case "short":
            head = token.short_head(one.key_id, json=json)
            spelled = token.encode_short(head + one.iv + one.commitment, one.sealed)
        case "equal":
            head = token.equal_head(one.key_id.kek_number or 0, json=json)
            spelled = token.encode_short(head.removeprefix(token.SHORT_PREFIX) + one.iv, one.sealed)
    if spelled != token.without_tags(data):
        _broken("a token has two spellings")
    try:
        plaintext = SESSION.open(one, Context(SCOPE, field="content"), NOW)
    except OpenFailed:
        return
    if plaintext != seeds.PLAINTEXT:
        _broken("a token opens that was never sealed")


def frames(data: bytes) -> None:
    """Nothing comes out of a frame but what was sealed, however it is cut, and only to its end."""
    if len(data) < _CUT_BYTES:
        return
    cut, sealed = int.from_bytes(data[:_CUT_BYTES]), data[_CUT_BYTES:]
    cut %= len(sealed) + 1
    whole = _open_frame([sealed])
    pieces = _open_frame([sealed[:cut], sealed[cut:]])
    if whole.refused != pieces.refused or not pieces.given_out.startswith(whole.given_out):
        _broken("a frame means something else when it comes in two pieces")
    if not _BODY.startswith(pieces.given_out):
        _broken("a frame gives out what was never sealed")
    if not pieces.refused and len(pieces.given_out) not in _BODY_SIZES:
        _broken("a frame ends where it was cut")


class _FromFrame(NamedTuple):
    given_out: bytes
    refused: bool


_STREAM: Final = Context(SCOPE, kind="stream")
_BODY: Final = seeds.PLAINTEXT * 600
_BODY_SIZES: Final = (0, 20, sealed_stream.CHUNK_BYTES, len(_BODY))


def _open_frame(pieces: list[bytes]) -> _FromFrame:
    begun = given_out = b""
    opener = None
    try:
        for piece in pieces:
            if opener is None:
                begun += piece
                head = sealed_stream.read_head(begun)
                if head is None:
                    continue
                stream = sealed_stream.read_stream(SESSION.open(head.token, _STREAM, NOW))
                opener = sealed_stream.opener(head, stream, _STREAM)
                given_out += opener.update(begun[len(head.raw) :])
            else:
                given_out += opener.update(piece)
        if opener is None:
            return _FromFrame(given_out, refused=True)
        return _FromFrame(given_out + opener.finish(), refused=False)
    except OpenFailed:
        return _FromFrame(given_out, refused=True)


def _frames() -> list[bytes]:
    made = []
    for size in _BODY_SIZES:
        head, sealer = sealed_stream.begin(SESSION, _STREAM, "text/plain")
        made.append(bytes(_CUT_BYTES) + head + sealer.update(_BODY[:size]) + sealer.finish())
    return made


def expressions(data: bytes) -> None:
    """Selectors, sources and patterns parse or say why not."""
    text = _text(data)
    for parse in (selectors.parse_selector, sources.parse_source, routes.parse_pattern):
        try:
            parsed = parse(text)
        except InvalidExpression:
            continue
        if parse(text) != parsed and not isinstance(parsed, sources.JsonSource):
            _broken("one text parses in two ways")
        if isinstance(parsed, selectors.JsonSelector):
            with suppress(InvalidBody):  # a step into a text that is none
                json_format.Selection((parsed,)).find(b'{"a":[{"b":[1,{"a":"x"}]}]}')
        elif isinstance(parsed, routes.Pattern):
            _check_pattern(parsed)


def _check_pattern(pattern: routes.Pattern) -> None:
    if not all(pattern.segments[:-1]) and None not in pattern.segments:
        _broken("a pattern has an empty segment")
    table = routes.RouteTable([(0, pattern)])
    spelled = "/" + "/".join(one if one is not None else "x" for one in pattern.segments)
    try:
        found = table.at(canonical(spelled)).first(
            next(iter(pattern.methods), "GET"), websocket=pattern.websocket
        )
    except AmbiguousRequest:
        return
    if found is None and pattern.segments:
        _broken("a pattern does not match its own spelling")


def configuration(data: bytes) -> None:
    """A file loads, or every mistake in it is told in one line."""
    name = Path("/etc/sealyard/sealyard.yaml")
    try:
        told = load.parse(_text(data), name, {"A": "b\udc80\n"}).warnings
    except ConfigurationError as error:
        told = error.problems or ("none",)
    if not all(one.startswith(f"{name}:") and "\n" not in one for one in told):
        _broken("a mistake is told without its place, or in more than one line")


# --- responses -----------------------------------------------------------------------------------


def responses(data: bytes) -> None:
    """A response means the same however its bytes are cut."""
    if len(data) < _CUT_BYTES:
        return
    flags, cut, raw = data[0], int.from_bytes(data[1:_CUT_BYTES]), data[_CUT_BYTES:]
    cut %= len(raw) + 1
    whole = _read([raw], flags)
    if whole != _read([raw[:cut], raw[cut:]], flags):
        _broken("a response means something else when it comes in two pieces")


def _read(pieces: list[bytes], flags: int) -> object:
    reader = ResponseReader(head_limit=65536, headers_limit=128)
    reader.expect(head_only=bool(flags & 1), upgrade=bool(flags & 2))
    body = b""
    try:
        for piece in pieces:
            body += reader.feed(piece) if piece else b""
        reader.end()
    except UpstreamFailed:
        return "refused" if reader.head is None else (reader.head, "cut")
    if reader.head is None:
        _broken("a response without a head is complete")
    return reader.head, reader.framing, body


# --- records -------------------------------------------------------------------------------------

_KINDS: Final[tuple[Kind, ...]] = ("sse", "ndjson", "json-seq")


def records(data: bytes) -> None:
    """A stream of records means the same however its bytes are cut, and none of them is lost."""
    if len(data) < _CUT_BYTES:
        return
    kind, cut, stream = _KINDS[data[0] % 3], int.from_bytes(data[1:_CUT_BYTES]), data[_CUT_BYTES:]
    cut %= len(stream) + 1
    made = splitter(kind, len(stream) + 1)
    pieces = [made.feed(one) for one in (stream[:cut], stream[cut:]) if one]
    pieces.append(made.end())
    if b"".join(pieces) != stream:
        _broken("what is cut off a stream is not the stream")
    try:
        parted = [text for piece in pieces for text in _texts(piece, kind)]
        whole = _texts(stream, kind)
    except (InvalidBody, BodyTooLarge):
        return
    if parted != whole:
        _broken("a stream holds other records when it comes in two pieces")


def _texts(stream: bytes, kind: Kind) -> list[bytes]:
    # A piece ends with the line feed of a JSON text; empty lines behind it are of the next one.
    blank = b"" if kind == "sse" else b" \t\r\n"
    return [
        record.text.rstrip(blank)
        for record in RECORDS[kind].records(stream, strict=False, awaited=0)
    ]


TARGETS: Final[dict[str, Target]] = {
    "gate": Target(gate, seeds.requests),
    "scanner": Target(scanner, seeds.masked_documents),
    "expressions": Target(expressions, seeds.expressions),
    "tokens": Target(parser, seeds.tokens),
    "frames": Target(frames, _frames),
    "embedded": Target(embedded, seeds.bodies_with_tokens),
    "path": Target(path, seeds.paths),
    "configuration": Target(configuration, seeds.configurations),
    "parts": Target(parts, seeds.parts),
    "exchange": Target(exchange, seeds.documents),
    "nested": Target(nested.nested, nested.nested_seeds),
    "ordinary": Target(ordinary.ordinary, ordinary.ordinary_seeds),
    "responses": Target(responses, seeds.responses),
    "records": Target(records, seeds.streams),
    "messages": Target(sockets.messages, sockets.frames),
    "packets": Target(sockets.packets, sockets.packet_seeds),
    "operations": Target(operations.operations, operations.operation_seeds),
    **(
        {
            "finder": Target(forms.finder, forms.finder_seeds),
            "leaves": Target(forms.leaves, forms.leaf_seeds),
            "forms": Target(forms.messages, forms.message_seeds),
        }
        if forms.NATIVE
        else {}
    ),
}

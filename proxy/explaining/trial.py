"""A message explained: it goes through a listener as `serve` has it, to a backend that is played.

Both ends are socket pairs inside the process. The gate, the rules, the lanes of whole bodies, of
streams and of WebSockets are those of the traffic port: there is no second code path that could
tell something else. Values are sealed under keys that exist for the trial alone.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import Final

from ..config.settings import Address, ListenerSettings, OriginalPort, TcpAddress
from ..core.compiled.rule_table import RuleTable
from ..core.crypto.session_cipher import Session
from ..core.crypto.token import ASSUMED_KEK_ID
from ..core.errors import TrafficError, Unopened
from ..core.explain.dry_run import assumed_keys, with_trial_sealing
from ..core.explain.endings import unended
from ..core.explain.explanation import (
    Explained,
    Explanation,
    PlayedAnswer,
    Wanted,
    considered_for,
)
from ..core.http.message import TOKEN, Direction, Headers, RequestHead, header_values
from ..core.http.path import canonical
from ..core.planning.asked import example, question
from ..core.planning.exchange import Exchange
from ..core.values.key_needs import Attempt, Keys, Needs
from ..telemetry.logs.access_line import MessageLine
from ..traffic.downstream.listener import HttpListener
from ..traffic.exchange.exchange import Handler
from ..traffic.exchange.prepared_steps import KeySource
from ..traffic.upstream.client import HttpUpstream
from ..traffic.upstream.connection import UpstreamConnection
from .notes import NotedMessage, Notes
from .played import PlayedBackend, PlayedClient, Received
from .policy import TRIAL_SECONDS

clock: Final = time.time
"""Seconds since 1970."""
_METHOD: Final = re.compile(r"[A-Z][A-Z-]*")
_HEADER: Final = re.compile(TOKEN)
_AS_GET: Final = "for example `GET`"
_JSON_TYPE: Final = (b"Content-Type", b"application/json")
_MADE_UP: Final = "asked"
"""The name that a played backend tells."""


class TrialKeys:
    """Seals under keys of the trial; opens with what `source` has, or assumes that all opens.

    `kek_id` is that of the KEK under which values would be sealed, None for ephemeral sessions.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        source: KeySource | None = None,
        kek_id: str | None = ASSUMED_KEK_ID,
    ) -> None:
        self._clock = clock
        self._source = source
        self._kek_id = kek_id

    @property
    def shut(self) -> AbstractSet[tuple[str, str]]:
        """No rules are shut in a trial."""
        return frozenset()

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return None: whatever needs keys takes the general way."""
        return None

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions; raise KeyUnavailable as the source does."""
        opens = Needs({}, needs.opens)
        keys = assumed_keys(opens) if self._source is None else await self._source.resolve(opens)
        return with_trial_sealing(keys, needs, self._clock(), self._kek_id)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep nothing."""

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        """Report nothing: a trial is no attempt to open a token."""
        return False


class _Silent:
    """A reporter that reports nothing."""

    def report(self, event: str, **fields: object) -> None:
        """Drop an event."""

    def messages(self, lines: Sequence[MessageLine]) -> None:
        """Drop lines."""


class _PlayedUpstream(HttpUpstream):
    """An upstream whose connections lead to a backend that is played."""

    __slots__ = ("backend",)

    backend: PlayedBackend

    async def _open(self) -> UpstreamConnection:
        ours, theirs = socket.socketpair()
        await self.backend.serve(theirs)
        _, connection = await asyncio.get_running_loop().create_unix_connection(
            self._protocol, sock=ours
        )
        return connection


async def explain(
    listener: ListenerSettings,
    wanted: Wanted,
    keys: KeySource | None = None,
    table: RuleTable | None = None,
) -> Explained:
    """Return what happens to a message and its answer at a listener.

    `keys` None assumes that every token opens. The `table` is that of the listener's rules, for
    who explains many messages. Raises TimeoutError after `TRIAL_SECONDS`.
    """
    notes = Notes()
    table = table or RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    backend = PlayedBackend(
        wanted.answer or PlayedAnswer(),
        reads_messages=wanted.websocket,
        questions=_questions(table, wanted),
    )
    address, context = _address(listener), None
    if listener.upstream.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for the names: no connection uses it
    upstream = _PlayedUpstream(address, tls=context, limits=listener.limits)
    upstream.backend = backend
    handler = Handler(
        table,
        keys or TrialKeys(clock),
        upstream,
        _Silent(),
        clock=clock,
        name=listener.name,
        limits=listener.limits,
        trusted_proxies=listener.trusted_proxies,
        upstream_names=frozenset(one.encode() for one in listener.upstream_names),
        add_request_id=listener.add_request_id,
        accept=frozenset(listener.accept),
        origins=frozenset(listener.cors.origins) if listener.cors else frozenset(),
        watches=partial(NotedMessage, notes),
        assumed=wanted.caller,
    )
    door = HttpListener(listener.listen, handler, limits=listener.limits, sockets=())
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            client = await _connect(door)
            received = await client.ask(with_defaults(wanted), backend)
            await client.leave()
    finally:
        await door.close()
        await upstream.close()
        await backend.close()
    return _told(wanted, table, notes, backend, received)


def _questions(table: RuleTable, wanted: Wanted) -> dict[str, PlayedAnswer]:
    """Return where the backend is asked for names that a request lacks, and what it answers."""
    table = table.raised or table
    found: dict[str, PlayedAnswer] = {}
    path, mark, query = wanted.target.partition("?")
    try:
        spelled = canonical(path)
        head = RequestHead(wanted.method, spelled.text, query if mark else None, wanted.headers)
        exchange = Exchange(table.decide(wanted.method, spelled), head)
        exchange.caller = wanted.caller
        for source in exchange.asks:
            asked = question(exchange, source)
            target = asked.path if asked.query is None else f"{asked.path}?{asked.query}"
            body = example(source.selector, _MADE_UP)
            found[target] = wanted.asked or PlayedAnswer(headers=(_JSON_TYPE,), body=body)
    except TrafficError:
        pass  # the message is refused, and tells why
    return found


async def _connect(door: HttpListener) -> PlayedClient:
    ours, theirs = socket.socketpair()
    served = door.welcome("")
    assert not isinstance(served, str)  # noqa: S101 - it is the first connection
    await asyncio.get_running_loop().connect_accepted_socket(lambda: served, theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    return PlayedClient(reader, writer)


def _address(listener: ListenerSettings) -> Address:
    address = listener.upstream.address
    return TcpAddress("127.0.0.1", 80) if isinstance(address, OriginalPort) else address


def with_defaults(wanted: Wanted) -> Wanted:
    """Return the message with the headers that every client sends, where they are missing."""
    headers = wanted.headers
    if not header_values(headers, b"host"):
        headers = ((b"Host", b"localhost"), *headers)
    if wanted.websocket:
        key = b64encode(os.urandom(16))
        headers += ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
        headers += ((b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Key", key))
    return replace(wanted, headers=headers)


def unsendable(wanted: Wanted) -> str | None:
    """Return why the message cannot be sent as one; None where it can."""
    texts = [wanted.method.encode("utf-8", "replace"), wanted.target.encode("utf-8", "replace")]
    answered = wanted.answer.headers if wanted.answer is not None else ()
    texts += [part for pair in (*wanted.headers, *answered) for part in pair]
    if any(one in text for text in texts for one in (b"\r", b"\n")):
        return "the method, the target and headers hold no line breaks"
    if not wanted.method or not wanted.target:
        return "the method and the target must not be empty"
    if problem := _head_problem(wanted):
        return problem
    if why := unended(wanted):
        return f"the message never ends: {why}"
    return None


def _head_problem(wanted: Wanted) -> str | None:
    """Return which part of the head no client can send, and what to write; None for none."""
    method, target = wanted.method, wanted.target
    if not _METHOD.fullmatch(method):
        upper = method.upper()
        meant = f"methods are in upper case: `{upper}`" if _METHOD.fullmatch(upper) else _AS_GET
        return f"`{method}` is not a method; {meant}"
    if "://" in target:
        return f"`{target}` has a host; write the path alone"
    if target != "*" and not target.startswith("/"):
        return f"`{target}` does not begin with `/`; write `/{target}`"
    if any(one.isspace() for one in target):
        return "the target has white space; write `%20` for each space"
    answered = wanted.answer.headers if wanted.answer is not None else ()
    for name, _ in (*wanted.headers, *answered):
        if not _HEADER.fullmatch(name):
            return (
                f"`{name.decode('utf-8', 'replace')}` is no name of a header; for example `x-room`"
            )
    return None


def with_json_type(headers: Headers, body: bytes) -> Headers:
    """Return the headers of a body, which is JSON unless they say otherwise."""
    if not body or header_values(headers, b"content-type"):
        return headers
    return (*headers, _JSON_TYPE)


def _told(
    wanted: Wanted, table: RuleTable, notes: Notes, backend: PlayedBackend, received: Received
) -> Explained:
    record = notes.record
    considered = considered_for(table, wanted)
    rule = None if record is None else record.rule
    observed = {} if record is None else dict(record.observations)
    observed.pop("asked_ms", None)  # it says how fast this machine is
    request = Explanation(considered, rule, observed=observed)
    response = Explanation((), rule)
    if wanted.websocket:
        return _told_socket(wanted, request, notes, backend, received)
    request = _side(request, "request", notes, backend.body)
    if backend.asked is not None:
        request = replace(request, target=_target(notes, backend.target))
    answered = None
    if wanted.answer is not None and backend.asked is not None:
        answered = _side(
            replace(response, status=received.status), "response", notes, received.body
        )
    return Explained(request, answered, sent=backend.raw, received=received.raw)


def _side(
    one: Explanation, direction: Direction, notes: Notes, passed: bytes | None
) -> Explanation:
    """Return what happens to one direction; `passed` is the body that went on, if any did."""
    described = [each for on, each in notes.plans if on == direction]
    values = tuple(value for each in described for value in each.values)
    refused = [(error, status) for on, error, status in notes.refusals if on == direction]
    if refused:
        error, status = refused[0]
        return replace(one, values=values, refusal=error, status=status)
    outgoing = b"".join(each.outgoing for each in described) if described else passed
    headers = tuple(line for each in described for line in each.headers)
    return replace(one, values=values, outgoing=outgoing, headers=headers)


def _target(notes: Notes, target: str) -> str:
    """Return where a request goes, with the values in its query masked."""
    for direction, described in notes.plans:
        head = described.head
        if direction == "request" and isinstance(head, RequestHead) and head.query is not None:
            return f"{target.partition('?')[0]}?{head.query}"
    return target


def _told_socket(
    wanted: Wanted, request: Explanation, notes: Notes, backend: PlayedBackend, received: Received
) -> Explained:
    """Return what happens to a handshake and to each message of the WebSocket."""
    plans, refusals = list(notes.plans), list(notes.refusals)
    told: list[tuple[Direction, Explanation]] = []
    if not received.opened:
        error, status = refusals[0][1:] if refusals else (None, received.status)
        refused = replace(request, refusal=error, status=status)
        return Explained(refused, sent=backend.raw, received=received.raw)
    for message, arrived in zip(wanted.messages, received.arrivals, strict=False):
        mine = [one for one in plans if one[0] == message.direction][:1]
        for one in mine:
            plans.remove(one)
        explained = Explanation((), request.rule, *((mine[0][1].values,) if mine else ()))
        if arrived is None:
            (_, error, _), *_ = refusals
            explained = replace(explained, refusal=error, status=received.closed)
        else:
            outgoing = mine[0][1].outgoing if mine else arrived
            explained = replace(explained, outgoing=outgoing)
        told.append((message.direction, explained))
    request = replace(request, outgoing=b"", status=received.status, target=backend.target)
    return Explained(request, messages=tuple(told), sent=backend.raw, received=received.raw)

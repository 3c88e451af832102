"""What happens to one message: its rule, its values and what is forwarded, with values masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..callers import VerifiedCaller
from ..compiled.rule_table import RuleTable
from ..crypto.context import Context
from ..crypto.joined_names import to_json
from ..errors import SealyardError
from ..expressions.routes import Pattern
from ..http import path as paths
from ..http.message import Direction, Head, Headers
from ..http.path import CanonicalPath
from ..rules.model import Rule


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was looked at, and why it does not take the request (None: it does)."""

    rule: str
    because: str | None


@dataclass(frozen=True, slots=True)
class ExplainedValue:
    """One value: what becomes of it, where it lies, what it is bound to.

    `action` is its outcome, `refused` where the message is refused for it, with the reason as the
    `note`. `characters` is the length of the sealed value, else None. `quoted` says that it is a
    JSON value, so that its token is a string, `place` where it lies.
    """

    action: str
    field: str
    start: int
    end: int
    context: Context
    characters: int | None
    note: str = ""
    quoted: bool = False
    place: str = "body"


@dataclass(frozen=True, slots=True)
class Described:
    """A plan that is carried out: its values, and the body and the head with all of them masked."""

    values: tuple[ExplainedValue, ...]
    outgoing: bytes
    head: Head
    headers: Headers = ()
    """The changed headers, masked."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to one message. `outgoing` has the changed values masked; None: it is refused.

    `refusal` is the error that a client gets, with the `status` or, of a WebSocket, the close code.
    `target` and `headers` are where and with which changed headers it goes, masked. `observed` is
    what a rule that only observes would do.
    """

    considered: tuple[Considered, ...]
    rule: str | None
    values: tuple[ExplainedValue, ...] = ()
    outgoing: bytes | None = None
    refusal: SealyardError | None = None
    status: int | None = None
    target: str | None = None
    headers: Headers = ()
    observed: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SocketMessage:
    """A message of a WebSocket, from the client (`request`) or from the backend (`response`)."""

    direction: Direction
    payload: bytes
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message to be explained: a request, and what the backend answers it with.

    Without an `answer` the request alone is explained. What the rule asks the backend for is
    answered with `asked`, or with a name that is made up. The `messages` are those of a WebSocket
    that the request opens, in order. `caller` is who is taken to send it.
    """

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    answer: PlayedAnswer | None = None
    messages: tuple[SocketMessage, ...] = ()
    asked: PlayedAnswer | None = None
    caller: VerifiedCaller | None = None

    @property
    def websocket(self) -> bool:
        """Whether it is a WebSocket."""
        return self.method == WEBSOCKET


@dataclass(frozen=True, slots=True)
class PlayedAnswer:
    """The answer of a backend."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""


WEBSOCKET: Final = "WS"
"""The method of a WebSocket, as rules spell it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What happens to a message on its way to the backend and back.

    `sent` and `received` are the bytes that the backend and the client get, values and all: they
    are for comparison, and are never shown.
    """

    request: Explanation
    response: Explanation | None = None
    messages: tuple[tuple[Direction, Explanation], ...] = ()
    sent: bytes = field(default=b"", repr=False)
    received: bytes = field(default=b"", repr=False)

    @property
    def refused(self) -> bool:
        """Whether any of it is refused."""
        each = (self.request, self.response, *(one for _, one in self.messages))
        return any(one is not None and one.refusal is not None for one in each)


def consider(
    rule_table: RuleTable, method: str, path: CanonicalPath, *, websocket: bool = False
) -> tuple[Considered, ...]:
    """Return the rules in order up to the one that takes the request, each with its reason."""
    seen: list[Considered] = []
    for compiled_rule in rule_table.rules:
        because = _mismatch(compiled_rule.rule, method, path, websocket=websocket)
        seen.append(Considered(compiled_rule.rule.name, because))
        if because is None:
            break
    return tuple(seen)


def considered_for(rule_table: RuleTable, wanted: Wanted) -> tuple[Considered, ...]:
    """Return the rules that are considered for a message; none where its path is malformed."""
    try:
        path = paths.canonical(wanted.target.partition("?")[0])
    except SealyardError:
        return ()
    method = "GET" if wanted.websocket else wanted.method
    return consider(rule_table, method, path, websocket=wanted.websocket)


def _mismatch(rule: Rule, method: str, path: CanonicalPath, *, websocket: bool) -> str | None:
    reasons = [_pattern_mismatch(one, method, path, websocket) for one in rule.patterns]
    if None in reasons:
        return None
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _pattern_mismatch(
    pattern: Pattern,
    method: str,
    path: CanonicalPath,
    websocket: bool,  # noqa: FBT001 - private
) -> str | None:
    if pattern.websocket != websocket:
        return "it is for WebSockets" if pattern.websocket else "it is not for WebSockets"
    because = _path_mismatch(pattern, path)
    if because is None and not pattern.takes(method):
        because = f"{method} is not {', '.join(sorted(pattern.methods))}"
    return because


def _path_mismatch(pattern: Pattern, path: CanonicalPath) -> str | None:
    for at, segment in enumerate(pattern.segments):
        if at >= len(path.segments):
            return f"the path ends before `{segment or '*'}`"
        actual = path.segments[at]
        if segment != actual if segment is not None else not actual:
            return f"`{actual}` is not `{segment or '*'}`"
    if len(path.segments) > len(pattern.segments) and not pattern.rest:
        return f"the path goes on after `/{'/'.join(path.segments[: len(pattern.segments)])}`"
    return None


def document(one: Explanation) -> dict[str, object]:
    """Return an explanation as JSON holds it."""
    refusal = one.refusal
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in one.headers]
    return {
        "rule": one.rule,
        "considered": [{"rule": each.rule, "because": each.because} for each in one.considered],
        "values": [_value_as_json(value) for value in one.values],
        "outgoing": one.outgoing.decode("utf-8", "replace") if one.outgoing is not None else None,
        "refusal": {"code": refusal.code, "reason": refusal.reason, "detail": refusal.detail}
        if refusal is not None
        else None,
        "status": one.status,
        "target": one.target,
        "headers": headers,
        "observed": dict(one.observed),
    }


def explained_document(one: Explained) -> dict[str, object]:
    """Return what happens to a message and its answer as JSON holds it."""
    made: dict[str, object] = {"request": document(one.request)}
    if one.response is not None:
        made["response"] = document(one.response)
    if one.messages:
        made["messages"] = [
            {"direction": direction, **document(each)} for direction, each in one.messages
        ]
    return made


def bound_parts(context: Context) -> dict[str, object]:
    """Return the parts that a context binds, by their names; joined ones as JSON spells them."""
    parts = {
        "tenant": context.scope.tenant,
        "conversation": context.scope.conversation,
        "field": context.field,
        "message": context.message,
        "purpose": context.purpose,
        "kind": context.kind,
    }
    return {part: to_json(name) for part, name in parts.items() if name is not None}


def _value_as_json(value: ExplainedValue) -> dict[str, object]:
    return {
        "action": value.action,
        "field": value.field,
        "place": value.place,
        "bytes": [value.start, value.end],
        "bound_to": bound_parts(value.context),
        "characters": value.characters,
        "note": value.note,
    }

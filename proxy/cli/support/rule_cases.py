"""Cases for rules: a file of messages, and what is expected to happen to each of them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

from ...config.declared.composed import ByName, ByShape, ListOf
from ...config.declared.kinds import File, PlainText, WholeNumber
from ...config.declared.section import Fields, Key, Section, one_of, setting
from ...config.yaml import composer, nodes
from ...config.yaml.nodes import Node, Place, Problems, Scalar
from ...config.yaml.scalars import expected
from ...core.callers import VerifiedCaller
from ...core.crypto.context import Context, Scope
from ...core.crypto.equal import EqualSession
from ...core.crypto.secret import KEY_BYTES, IndexSecret, SessionKey
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import ASSUMED_KEK_ID, CTY_JSON, Form
from ...core.errors import CasesError
from ...core.explain.explanation import PlayedAnswer, SocketMessage, Wanted
from ...core.http.message import Headers, header_values
from ...explaining.trial import with_json_type

Outcomes = Mapping[str, str]
"""What became of values, by their paths."""


class WrittenNumber(str):
    """A number as it is written: `1.10` stays `1.10`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Content:
    """A body: a text as it is, all else as JSON."""

    syntax = "text, or JSON as YAML"
    schema: ClassVar[Mapping[str, object]] = {}

    def read(self, place: Place, _: Problems) -> bytes:
        """Return the body, with a token in place of each `<sealed>`."""
        found = plain(place.node)
        return with_tokens(found if isinstance(found, str) else as_json(found)).encode()


@dataclass(frozen=True, slots=True)
class _Masked:
    """A body in which changed values have masks in their places."""

    syntax = _Content.syntax
    like = _Content()

    def read(self, place: Place, _: Problems) -> Any:  # noqa: ANN401 - what YAML holds
        """Return what is written, numbers as they are."""
        return plain(place.node)


@dataclass(frozen=True, slots=True)
class _HeaderValue:
    """The value of a header, of whatever kind YAML takes it for."""

    syntax = "value"
    schema = {"type": ["string", "number", "boolean", "null"]}  # noqa: RUF012 - it is only read

    def read(self, place: Place, problems: Problems) -> bytes | None:
        """Return the value, with a token in place of each `<sealed>`."""
        if isinstance(place.node, Scalar):
            return with_tokens(str(plain(place.node))).encode()
        expected(place, "a value", problems)
        return None


@dataclass(frozen=True, slots=True)
class _RuleName:
    """The name of a rule, or `null` for none."""

    syntax = "name, `null`"
    schema = {"type": ["string", "null"], "pattern": r"\S"}  # noqa: RUF012 - it is only read

    def read(self, place: Place, problems: Problems) -> str | None:
        """Return the name, "" for none."""
        none = isinstance(place.node, Scalar) and place.node.kind == "null"
        return "" if none else PlainText("name").read(place, problems)


_HEADERS: Final = ByName(
    _HeaderValue(),
    "`NAME: VALUE`",
    make=lambda pairs: tuple((name.encode(), value) for name, value in pairs),
)
_OUTCOMES: Final = ByName(PlainText("outcome"), "`PATH: OUTCOME`")
_CODE: Final = PlainText("error code")


@dataclass(frozen=True, slots=True)
class _Response:
    """What the backend answers."""

    status: int = setting(WholeNumber(200, 599), "The status.", default=200)
    headers: Headers = setting(
        _HEADERS,
        "The headers; a body is `application/json` unless they say otherwise.",
        default=(),
    )
    body: bytes = setting(_Content(), "The body.", default=b"", absent="none")


def _answer(values: dict[str, Any], _: Fields, __: Problems) -> PlayedAnswer:
    made = _Response(**values)
    headers = with_json_type(made.headers, made.body)
    return PlayedAnswer(made.status, headers, _lined(headers, made.body))


RESPONSE: Final[Section[Any]] = Section(_Response, "response", "`response`", make=_answer)


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of a WebSocket, and what is expected of it."""

    sent: SocketMessage = one_of(
        Key("send", _Content(), "A message of the client."),
        Key("reply", _Content(), "A message of the backend."),
        make=lambda name, payload: SocketMessage(
            "request" if name == "send" else "response", payload
        ),
    )
    expect: Outcomes = setting(_OUTCOMES, "What becomes of its values, by their paths.", make=dict)
    refused: str = setting(
        _CODE,
        "The code of the error with which it is refused, and the WebSocket ends.",
        default="",
        absent="it goes on",
    )


MESSAGE: Final = Section(_Message, "message", "`messages`")


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a message; None and empty: nothing is.

    `rule` is the name of the rule, "" for none. `refused` is an error code, "" for a message that
    goes on. `request` and `response` are outcomes by path; `backend` and `client` are bodies.
    """

    rule: str | None = setting(
        _RuleName(), "The rule that takes the message; `null`: none does.", default=None
    )
    refused: str = setting(
        _CODE,
        "The code of the error with which the message is refused.",
        default="",
        absent="it goes on",
    )
    request: Outcomes = setting(
        _OUTCOMES, "What becomes of values of the request, by their paths.", make=dict
    )
    response: Outcomes = setting(
        _OUTCOMES, "What becomes of values of the response, by their paths.", make=dict
    )
    backend: Any = setting(
        _Masked(),
        "The body that the backend gets: `<sealed>` in place of a changed value, `<sealed 178>`"
        " also for the length of the token.",
        default=None,
    )
    client: Any = setting(
        _Masked(),
        "The body that the client gets: `<opened>` in place of a changed value.",
        default=None,
    )
    messages: tuple[_Message, ...] = ()


@dataclass(frozen=True, slots=True)
class _CaseCaller:
    """A caller with verified claims."""

    name: str = setting(PlainText("name"), "Its name in `callers` of the listener.")
    claims: dict[str, str] = setting(
        ByName(PlainText(), "`CLAIM: TEXT`"),
        "Its claims, for names that `caller:` reads.",
        make=dict,
    )


def _caller(values: dict[str, Any], _: Fields, __: Problems) -> VerifiedCaller | None:
    made = _CaseCaller(**values) if "name" in values else None
    return None if made is None else VerifiedCaller(made.name, claims=made.claims)


CALLER: Final = ByShape(
    PlainText("name", parse=VerifiedCaller),
    mapping=Section(_CaseCaller, "caller", "`caller`, with claims", make=_caller),
    how="name of a caller, or a mapping",
)
EXPECT: Final = Section(Expected, "expect", "`expect`: what is not given is not checked")


@dataclass(frozen=True, slots=True)
class Case:
    """One message with what is expected of it, and the line where it begins."""

    name: str
    line: int
    listener: str | None
    wanted: Wanted
    expected: Expected


@dataclass(frozen=True, slots=True)
class _CaseKeys:
    """A case as it is written."""

    request: str = setting(
        PlainText(
            "`METHOD /path?query`",
            re.compile(r"[^ ]+ /[\s\S]*"),
            "is not `METHOD /path`",
            "for example `POST /api/messages`",
        ),
        "The request; `WS /path` opens a WebSocket.",
    )
    name: str | None = setting(PlainText(), "What is shown of the case.", absent="the request")
    listener: str | None = setting(PlainText("name"), "Whose rules.", absent="the only one")
    headers: Headers = setting(
        _HEADERS,
        "Headers of the request; a body is `application/json` unless they say otherwise.",
        default=(),
    )
    body: bytes = setting(_Content(), "The body of the request.", default=b"", absent="none")
    response: PlayedAnswer | None = setting(RESPONSE, "What the backend answers.", default=None)
    asked: PlayedAnswer | None = setting(
        RESPONSE,
        "What the backend answers where the rule asks it for a name (`ask`).",
        absent="the name `asked`",
    )
    caller: VerifiedCaller | None = setting(
        CALLER,
        "Who sends it: a caller of the listener, whose credential is taken as verified.",
        absent="a client without a credential",
    )
    messages: tuple[_Message, ...] = setting(
        ListOf(MESSAGE, "list of messages"),
        "The messages of the WebSocket, in order. It ends at the first that is refused: one behind"
        " it fails the case.",
        default=(),
    )
    expect: Expected = setting(
        EXPECT, "What happens. A message must not be refused, unless it says so.", make=Expected
    )


def _case(values: dict[str, Any], fields: Fields, problems: Problems) -> Case | None:
    if "request" not in values:
        return None
    made = _CaseKeys(**values)
    method, _, target = made.request.partition(" ")
    headers = with_json_type(made.headers, made.body)
    sent = tuple(one.sent for one in made.messages)
    body, answers = _lined(headers, made.body), (made.response, sent, made.asked)
    wanted = Wanted(method, target, headers, body, *answers, made.caller)
    if sent and not wanted.websocket:
        problems.add(fields["messages"], "are for WebSockets", "begin `request` with WS")
    line = fields.place.node.position.line
    shall = replace(made.expect, messages=made.messages)
    return Case(made.name or made.request, line, made.listener, wanted, shall)


CASE: Final[Section[Any]] = Section(_CaseKeys, "case", "`cases`", make=_case)


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases of a file, and the configuration that the file names, if it names one."""

    cases: tuple[Case, ...] = setting(ListOf(CASE, "list of cases"), "The cases.")
    config: Path | None = setting(
        File(), "The configuration whose rules are tested.", absent="`--config`"
    )


CASES: Final = Section(Cases, "cases", "The file")


def read_cases(path: Path) -> Cases:
    """Return the cases of a file; raise CasesError with all its mistakes."""
    problems = Problems(str(path), path.parent, CasesError)
    text = composer.read(path, problems)
    problems.raise_if_any()
    root = composer.compose(text or "", os.environ, problems)
    found = None if root is None else CASES.read(Place(root, ""), problems)
    problems.raise_if_any()
    return found or Cases(())


def _lined(headers: Headers, body: bytes) -> bytes:
    """Return a multipart body with the line ends of forms, which YAML cannot hold."""
    kind = b"".join(header_values(headers, b"content-type")).lower()
    return body.replace(b"\n", b"\r\n") if kind.startswith(b"multipart/") else body


def plain(node: Node) -> Any:  # noqa: ANN401 - what YAML holds
    """Return what a node holds, numbers as they are written."""
    if isinstance(node, nodes.Mapping):
        return {key.text: plain(inner) for key, inner in node.entries}
    if isinstance(node, nodes.Sequence):
        return [plain(inner) for inner in node.items]
    if node.kind == "null":
        return None
    if node.kind == "boolean":
        return node.text.lower() in {"true", "yes", "on"}
    return WrittenNumber(node.text) if node.kind == "number" else node.text


def as_json(value: object) -> str:
    """Return JSON text with numbers as they are written."""
    if isinstance(value, WrittenNumber):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{as_json(one)}" for key, one in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value)


# --- tokens in cases ----------------------------------------------------------------------------

SEALED: Final = "<sealed>"
_FORMS: Final = tuple(f"<sealed {one}>" for one in ("short", "base64", "equal", "json", "package"))


def with_tokens(text: str) -> str:
    """Return the text with a token in place of each `<sealed>`, which is assumed to open."""
    for mark in (SEALED, *_FORMS):
        if mark in text:
            text = text.replace(mark, _token(mark))
    return text


@cache
def _token(mark: str) -> str:
    scope = Scope()
    kind = mark.removeprefix("<sealed").removesuffix(">").strip()
    secret = os.urandom(KEY_BYTES)
    if kind == "equal":
        return EqualSession(IndexSecret(secret), 1, scope).seal(b"x", Context(scope)).decode()
    session = Session(
        SessionKey(secret),
        sid=int(time.time()).to_bytes(4) + bytes(8),
        scope=scope,
        kek_id=None if kind == "package" else ASSUMED_KEK_ID,
        kek_number=None if kind == "package" else 1,
        packaged=kind == "package",
    )
    if kind == "json":
        return session.seal(b'"x"', Context(scope), cty=CTY_JSON).decode()
    forms: dict[str, Form] = {"short": "short", "base64": "base64"}
    return session.seal(b"x", Context(scope), form=forms.get(kind, "jwe")).decode()

"""Cases for rules: a file of messages, and what is expected to happen to each of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from ...config.yaml import composer, nodes
from ...config.yaml.nodes import Node, Place, Problems
from ...core.crypto.context import Context, Scope
from ...core.crypto.secret import KEY_BYTES, SessionKey
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import ASSUMED_KEK_ID, CTY_JSON, Form
from ...core.errors import CasesError
from ...core.explain.explanation import PlayedAnswer, SocketMessage, Wanted
from ...core.http.message import Headers, header_values
from ...explaining.trial import with_json_type

_FILE_KEYS: Final = frozenset({"config", "cases"})
_CASE_KEYS: Final = frozenset(
    {"name", "listener", "request", "headers", "body", "response", "messages", "expect"}
)
_EXPECT_KEYS: Final = frozenset({"rule", "refused", "request", "response", "backend", "client"})
_RESPONSE_KEYS: Final = frozenset({"status", "headers", "body"})
_MESSAGE_KEYS: Final = frozenset({"send", "reply", "expect", "refused"})


class Number(str):
    """A number as it is written: `1.10` stays `1.10`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a message; None and empty: nothing is.

    `rule` is the name of the rule, "" for none. `refused` is an error code, "" for a message that
    goes on. `request` and `response` are outcomes by path; `backend` and `client` are bodies.
    """

    rule: str | None = None
    refused: str = ""
    request: Mapping[str, str] = field(default_factory=dict)
    response: Mapping[str, str] = field(default_factory=dict)
    backend: Any = None
    client: Any = None
    messages: tuple[tuple[Mapping[str, str], str], ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One message with what is expected of it, and the line where it begins."""

    name: str
    line: int
    listener: str | None
    wanted: Wanted
    expected: Expected


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases of a file, and the configuration that the file names, if it names one."""

    file: Path
    config: Path | None
    cases: tuple[Case, ...]


def read_cases(path: Path) -> Cases:
    """Return the cases of a file; raise CasesError with all its mistakes."""
    problems = Problems(str(path), error=CasesError)
    text = composer.read(path, problems)
    problems.raise_if_any()
    root = composer.compose(text or "", os.environ, problems)
    problems.raise_if_any()
    made: list[Case] = []
    config = None
    if root is not None:
        top = _members(Place(root, ""), _FILE_KEYS, problems)
        if "config" in top:
            config = path.parent / str(plain(top["config"].node))
        listed = top.get("cases")
        if listed is None or not isinstance(listed.node, nodes.Sequence):
            problems.add(
                Place(root, ""), "lacks the list `cases`", "for example `cases: [{request: GET /}]`"
            )
        else:
            for at, node in enumerate(listed.node.items):
                made += _case(listed.element(at, node), problems)
    problems.raise_if_any()
    return Cases(path, config, tuple(made))


def _case(place: Place, problems: Problems) -> list[Case]:
    members = _members(place, _CASE_KEYS, problems)
    request = str(plain(members["request"].node)) if "request" in members else ""
    method, _, target = request.partition(" ")
    if not target.startswith("/"):
        hint = "for example `request: POST /api/messages`"
        if "request" in members:
            complaint = f"{nodes.show(request)} is not `METHOD /path`"
            problems.add(members["request"], complaint, hint)
        else:
            problems.add(place, "lacks the key `request`", hint)
        return []
    body = _content(members.get("body"))
    headers = with_json_type(_headers(members.get("headers"), problems), body)
    body = _lined(headers, body)
    answer, messages = None, members.get("messages")
    if "response" in members:
        parts = _members(members["response"], _RESPONSE_KEYS, problems)
        content = _content(parts.get("body"))
        status = _status(parts.get("status"), problems)
        given = with_json_type(_headers(parts.get("headers"), problems), content)
        answer = PlayedAnswer(status, given, _lined(given, content))
    sent, told = _messages(messages, problems)
    wanted = Wanted(method, target, headers, body, answer, sent)
    if sent and not wanted.websocket:
        problems.add(
            members["messages"], "`messages` are for WebSockets", "begin `request` with WS"
        )
    name = str(plain(members["name"].node)) if "name" in members else request
    listener = str(plain(members["listener"].node)) if "listener" in members else None
    expected = _expected(members.get("expect"), told, problems)
    return [Case(name, place.node.position.line, listener, wanted, expected)]


def _lined(headers: Headers, body: bytes) -> bytes:
    """Return a multipart body with the line ends of forms, which YAML cannot hold."""
    kind = b"".join(header_values(headers, b"content-type")).lower()
    return body.replace(b"\n", b"\r\n") if kind.startswith(b"multipart/") else body


def _status(place: Place | None, problems: Problems) -> int:
    if place is None:
        return 200
    text = str(plain(place.node))
    if not text.isdecimal() or not 200 <= int(text) <= 599:  # noqa: PLR2004 - final statuses of HTTP
        problems.add(place, f"{nodes.show(text)} is not a status", "write one from 200 to 599")
        return 200
    return int(text)


def _expected(
    place: Place | None, told: list[tuple[Mapping[str, str], str]], problems: Problems
) -> Expected:
    if place is None:
        return Expected(messages=tuple(told))
    members = _members(place, _EXPECT_KEYS, problems)
    rule = plain(members["rule"].node) if "rule" in members else None
    if "rule" in members and rule is None:
        rule = ""
    return Expected(
        rule,
        str(plain(members["refused"].node)) if "refused" in members else "",
        _outcomes(members.get("request"), problems),
        _outcomes(members.get("response"), problems),
        plain(members["backend"].node) if "backend" in members else None,
        plain(members["client"].node) if "client" in members else None,
        tuple(told),
    )


def _outcomes(place: Place | None, problems: Problems) -> Mapping[str, str]:
    if place is None:
        return {}
    found = plain(place.node)
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        problems.add(place, "is not `SELECTOR: OUTCOME`", "for example `$.content: sealed`")
        return {}
    return found


def _messages(
    place: Place | None, problems: Problems
) -> tuple[tuple[SocketMessage, ...], list[tuple[Mapping[str, str], str]]]:
    sent: list[SocketMessage] = []
    told: list[tuple[Mapping[str, str], str]] = []
    if place is None:
        return (), []
    if not isinstance(place.node, nodes.Sequence):
        problems.add(place, "is not a list of messages", "for example `[{send: text}]`")
        return (), []
    for at, node in enumerate(place.node.items):
        one = place.element(at, node)
        members = _members(one, _MESSAGE_KEYS, problems)
        which = [name for name in ("send", "reply") if name in members]
        if len(which) != 1:
            problems.add(one, "a message has either `send` or `reply`", "write one of them")
            continue
        payload = _content(members[which[0]])
        sent.append(SocketMessage("request" if which == ["send"] else "response", payload))
        refused = str(plain(members["refused"].node)) if "refused" in members else ""
        told.append((_outcomes(members.get("expect"), problems), refused))
    return tuple(sent), told


def _headers(place: Place | None, problems: Problems) -> Headers:
    if place is None:
        return ()
    if not isinstance(place.node, nodes.Mapping):
        problems.add(place, "is not `NAME: VALUE`", "for example `{content-type: text/plain}`")
        return ()
    return tuple(
        (name.text.encode(), with_tokens(str(plain(node))).encode())
        for name, node in place.node.entries
    )


def _content(place: Place | None) -> bytes:
    if place is None:
        return b""
    found = plain(place.node)
    return with_tokens(found if isinstance(found, str) else as_json(found)).encode()


def _members(place: Place, known: frozenset[str], problems: Problems) -> dict[str, Place]:
    if not isinstance(place.node, nodes.Mapping):
        problems.add(place, "a mapping is expected", f"with keys of: {', '.join(sorted(known))}")
        return {}
    made: dict[str, Place] = {}
    for key, node in place.node.entries:
        if key.text in known:
            made[key.text] = place.member(key.text, node)
        else:
            hint = nodes.suggest(key.text, known)
            problems.add(Place(key, place.path), f"the key {nodes.show(key.text)} is unknown", hint)
    return made


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
    return Number(node.text) if node.kind == "number" else node.text


def as_json(value: object) -> str:
    """Return JSON text with numbers as they are written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{as_json(one)}" for key, one in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value)


# --- tokens in cases ----------------------------------------------------------------------------

SEALED: Final = "<sealed>"
_FORMS: Final = ("<sealed short>", "<sealed base64>", "<sealed json>", "<sealed package>")


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
    session = Session(
        SessionKey(os.urandom(KEY_BYTES)),
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

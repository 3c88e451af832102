"""The law of `sealyard contract make`: drawn descriptions, and drawn messages that they allow.

Each message goes through the real handler with real keys, to a backend that is played: every marked
value arrives as a token, everything else as it was, and what the backend answers is opened again.
The messages are drawn here, not by the samples of `contract check`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.settings import ListenerSettings
from proxy.core.explain.explanation import Explained, PlayedAnswer, Wanted
from proxy.explaining import trial
from proxy.keys.keyring.keyring import create
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import MemoryStore
from tests.description.descriptions import described, read

CANARY = "CANARY-contract-22"
TOKEN = re.compile(
    r"eyJ0eXAiOiJzeTEi[A-Za-z0-9_.-]+|sy1\.[A-Za-z0-9_-]+|iVNZMUI2NA0K[A-Za-z0-9+/]+=*"
)
FORM = "application/x-www-form-urlencoded"


class Names:
    """Names of properties, none of them twice, so that no two places of a message are alike."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"p{self.count}" if self.count % 5 else f"pro-perty {self.count}"


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the schema of a value that holds no others, marked or not."""
    if draw(st.booleans()):
        schema = draw(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["string", "string", ["string", "null"]])},
                optional={
                    "minLength": st.integers(0, 9),
                    "maxLength": st.sampled_from([200, 400, 600, 9000]),
                },
            )
        )
        anything = draw(st.integers(0, 5)) == 0
        mark = {"x-sensitive-data": {"mask": "full"}} if anything else {"x-sensitive-data": True}
        return mark if anything else {**schema, **mark}
    return draw(
        st.sampled_from(
            [
                {"type": "integer"},
                {"type": "boolean"},
                {"type": "string"},
                {"enum": ["a", "b"]},
                {"type": ["string", "null"]},
                {"type": "string", "format": "uuid"},
            ]
        )
    )


@st.composite
def schemas(draw: st.DrawFn, names: Names, depth: int) -> dict[str, Any]:
    """Draw a schema of JSON."""
    kinds = ["leaf"] if depth == 0 else ["leaf", "object", "array", "all", "one", "map", "ref"]
    kind = draw(st.sampled_from(kinds))
    if kind in {"all", "one"}:
        word = "allOf" if kind == "all" else draw(st.sampled_from(["oneOf", "anyOf"]))
        return {word: [draw(objects(names, depth - 1)) for _ in range(2)]}
    if kind in {"array", "map"}:
        inner = draw(schemas(names, depth - 1))
        if kind == "map":
            return {"type": "object", "additionalProperties": inner}
        return {"type": "array", "items": inner, "minItems": draw(st.integers(0, 1))}
    if kind == "ref":
        return {"$ref": "#/components/schemas/Tree"}
    return draw(objects(names, depth - 1) if kind == "object" else leaves())


@st.composite
def objects(draw: st.DrawFn, names: Names, depth: int) -> dict[str, Any]:
    """Draw the schema of an object."""
    properties = {names(): draw(schemas(names, depth)) for _ in range(draw(st.integers(1, 3)))}
    required = [name for name in properties if draw(st.booleans())]
    return {"type": "object", "properties": properties, "required": required}


BRANCH: dict[str, Any] = {
    "secret": {"type": "string", "x-sensitive-data": True},
    "open": {"type": "string"},
    "branches": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
}
TREE = {"type": "object", "properties": BRANCH}


class Drawn:
    """A message that is drawn, with each marked text that it holds."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.secrets: list[Any] = []

    def text(self, schema: dict[str, Any]) -> str:
        """Draw a text; that of a marked value is found nowhere else."""
        least = schema.get("minLength", 0)
        text = f"{CANARY}-{len(self.secrets)}-{self.draw(st.sampled_from(['', 'é€', '<b>', 'q']))}"
        text = text.ljust(least, "x")
        self.secrets.append(text)
        return text

    def value(self, schema: dict[str, Any], depth: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Draw a value that is valid for a schema."""
        if "$ref" in schema:
            return self.tree(depth)
        if branches := schema.get("oneOf", schema.get("anyOf")):
            return self.value(self.draw(st.sampled_from(branches)), depth)
        if "allOf" in schema:
            first, second = schema["allOf"]
            return self.value(first, depth) | self.value(second, depth)
        kind = schema.get("type")
        if kind == "object":
            return self.members(schema, depth)
        if kind == "array":
            count = self.draw(st.integers(schema.get("minItems", 0), 2))
            return [self.value(schema["items"], depth) for _ in range(count)]
        return self.scalar(schema)

    def scalar(self, schema: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Draw a value that holds no others."""
        kind = schema.get("type")
        if kind == ["string", "null"] and self.draw(st.booleans()):
            return None
        if schema.get("x-sensitive-data"):
            return self.text(schema)
        if "enum" in schema:
            return self.draw(st.sampled_from(schema["enum"]))
        if kind == "integer":
            return self.draw(st.integers(-5, 10**20))
        return self.draw(st.booleans() if kind == "boolean" else st.text(max_size=5))

    def members(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Draw an object."""
        required = schema.get("required", ())
        made = {
            name: self.value(one, depth)
            for name, one in schema.get("properties", {}).items()
            if name in required or self.draw(st.booleans())
        }
        if "additionalProperties" in schema:
            for at in range(self.draw(st.integers(0, 2))):
                made[f"any{at}"] = self.value(schema["additionalProperties"], depth)
        return made

    def tree(self, depth: int) -> dict[str, Any]:
        """Draw a value of the schema that contains itself."""
        made = self.members({"properties": {k: BRANCH[k] for k in ("secret", "open")}}, 0)
        if depth < 5 and self.draw(st.booleans()):
            made["branches"] = [self.tree(depth + 1) for _ in range(self.draw(st.integers(0, 2)))]
        return made


def sessions() -> Sessions:
    """Return sessions under a new keyring."""
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    return Sessions(
        keyring, MemoryStore(time.monotonic), SessionSettings(), clock=time.time, random=os.urandom
    )


async def both_ways(
    listener: ListenerSettings,
    body: bytes,
    media_type: str,
    answer_of: Any,  # noqa: ANN401
) -> tuple[bytes, bytes]:
    """Return what the backend gets, and what the client gets when that is answered."""
    keys = sessions()
    await keys.open()
    headers = ((b"Content-Type", media_type.encode()),)
    wanted = Wanted("POST", "/things", headers, body)
    first = await trial.explain(listener, wanted, keys)
    _passed(first)
    sent = first.sent.partition(b"\r\n\r\n")[2]
    json_type = ((b"Content-Type", b"application/json"),)
    answer = PlayedAnswer(201, json_type, answer_of(sent))
    second = await trial.explain(listener, Wanted("POST", "/things", headers, body, answer), keys)
    _passed(second)
    return sent, second.received.partition(b"\r\n\r\n")[2]


def _passed(told: Explained) -> None:
    for one in (told.request, told.response):
        assert one is None or one.refusal is None, (one.refusal.code, one.refusal.detail)


def same_but_sealed(body: bytes, sent: bytes, secrets: list[Any]) -> None:
    """Hold that a token is where each marked text was, and that no other byte has changed."""
    before = body.decode()
    for one in sorted(secrets, key=len, reverse=True):
        before = before.replace(json.dumps(one, ensure_ascii=False), '"<token>"')
    after, count = TOKEN.subn("<token>", sent.decode())
    assert after == before
    assert count == len(secrets)
    assert CANARY not in after


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_marked_value_of_json_is_sealed_and_opened_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    schema = data.draw(objects(Names(), 3), label="schema")
    schema["properties"]["certain"] = {"type": "string", "x-sensitive-data": True}
    document = described(schema, components={"schemas": {"Tree": TREE}})
    folder = tmp_path_factory.mktemp("drawn")
    world = read(folder, document)
    listener = world.listener()

    assert world.compared(listener) == []
    for number in range(3):
        drawn = Drawn(data.draw)
        value = drawn.value(schema)
        body = json.dumps(value, ensure_ascii=False).encode()
        sent, received = asyncio.run(
            both_ways(listener, body, "application/json", lambda sealed: sealed)
        )
        same_but_sealed(body, sent, drawn.secrets)
        assert received == body, f"message {number}"


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_marked_value_of_a_form_is_sealed_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = [f"n{at}" for at in range(data.draw(st.integers(2, 5)))]
    marked = {name for name in names if data.draw(st.booleans())} | {"n0"}
    media_type = data.draw(st.sampled_from([FORM, "multipart/form-data"]))
    properties = {
        name: {"type": "string", **({"x-sensitive-data": True} if name in marked else {})}
        for name in names
    }
    schema = {"type": "object", "properties": properties, "required": ["n0"]}
    world = read(tmp_path_factory.mktemp("drawn"), described(schema, media_type, answers=False))
    listener = world.listener()
    assert world.compared(listener) == []

    there = [name for name in names if name == "n0" or data.draw(st.booleans())]
    pairs = [(name, f"{CANARY} {name}" if name in marked else f"open {name}") for name in there]
    body, full_type = encoded(media_type, pairs)
    sent, _ = asyncio.run(both_ways(listener, body, full_type, lambda _: b"{}"))

    assert CANARY.encode() not in sent
    arrived = decoded(media_type, sent)
    assert [name for name, _ in arrived] == there
    for (name, value), (_, before) in zip(arrived, pairs, strict=True):
        if name in marked:
            assert TOKEN.fullmatch(value)
        else:
            assert value == before


def encoded(media_type: str, pairs: list[tuple[str, str]]) -> tuple[bytes, str]:
    """Return a form, and its Content-Type."""
    if media_type == FORM:
        return urlencode(pairs).encode(), FORM
    lines = []
    for name, value in pairs:
        lines += ["--of-parts", f'Content-Disposition: form-data; name="{name}"', "", value]
    return "\r\n".join([*lines, "--of-parts--", ""]).encode(), f"{media_type}; boundary=of-parts"


def decoded(media_type: str, body: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a form."""
    if media_type == FORM:
        return parse_qsl(body.decode(), keep_blank_values=True)
    found = re.findall(
        r'name="([^"]+)"[^\n]*\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', body.decode(), re.DOTALL
    )
    return [(name, value) for name, value in found]

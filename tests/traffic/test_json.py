"""Section E: what a rule does to JSON, seen on both sides of the traffic port."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.traffic.exchange.exchange import KeySource
from tests.keys.builders import a_world

from .exchange.test_exchange import CANARY, JSON, mirror, through
from .wire import Origin, Peer, Response, get, post


async def sealed(body: bytes) -> tuple[Origin, Response]:
    """Send a body to be sealed, and return what the origin saw and its echo, opened."""
    origin = Origin(mirror)
    response, _ = await through(origin, post(body, JSON, target=b"/seal"))
    return origin, response


ODD = b' { "n" :\t1.10 ,"a":[ ],\r\n "s":"\\u0041\\/ \\ud83d\\ude00" , "content" : %b , "z":-0 } \n'
NUMBERS = (b"1E400", b"-0", b"1.10", b"123456789012345678901234567890", b"9" * 100_000, b"1e-7")


async def test_e1_every_byte_beside_the_value_stays() -> None:
    body = ODD % (b'"%b"' % CANARY)

    origin, response = await sealed(body)

    before, _, behind = body.partition(b'"%b"' % CANARY)
    seen = origin.seen[0].body
    assert seen.startswith(before)
    assert seen.endswith(behind)
    assert seen[len(before) : len(before) + 5] == b'"eyJ0'
    assert response.body == body


@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
async def test_e3_numbers_stay_as_they_are_spelled(number: bytes) -> None:
    body = b'{"n":%b,"content":"x"}' % number

    origin, response = await sealed(body)

    assert origin.seen[0].body.startswith(b'{"n":%b,"content":"eyJ0' % number)
    assert response.body == body


@pytest.mark.parametrize("number", NUMBERS[:4])
async def test_e8_a_sealed_value_comes_back_with_its_type_and_spelling(number: bytes) -> None:
    body = b'{"content":%b}' % number

    origin, response = await sealed(body)

    # A token may hold so few characters by chance: there is nothing but one.
    assert re.fullmatch(rb'\{"content":"eyJ0[A-Za-z0-9_.-]+"\}', origin.seen[0].body)
    assert response.body == body


REFUSED = {
    "e2 twice": b'{"content":"%b","content":"x"}' % CANARY,
    "e2 twice, once escaped": b'{"content":"x","\\u0063ontent":"%b"}' % CANARY,
    "e4 nan": b'{"content":"%b","n":NaN}' % CANARY,
    "e4 infinity": b'{"content":"%b","n":-Infinity}' % CANARY,
    "e4 comment": b'{"content":"%b"/**/}' % CANARY,
    "e4 trailing comma": b'{"content":"%b",}' % CANARY,
    "e4 single quotes": b"{'content':'%b'}" % CANARY,
    "e5 byte order mark": b'\xef\xbb\xbf{"content":"%b"}' % CANARY,
    "e5 utf-16": (b'{"content":"%b"}' % CANARY).decode().encode("utf-16-le"),
    "e5 utf-32": (b'{"content":"%b"}' % CANARY).decode().encode("utf-32"),
    "e5 lone surrogate": b'{"content":"%b\\ud800"}' % CANARY,
    "e5 overlong": b'{"content":"%b\xc0\xaf"}' % CANARY,
    "e5 nul": b'{"content":"%b\x00"}' % CANARY,
    "e5 trailing bytes": b'{"content":"%b"} x' % CANARY,
    "e5 two documents": b'{"content":"%b"}{"content":"x"}' % CANARY,
    "e6 depth": b'{"content":"%b","a":' % CANARY + b"[" * 128 + b"]" * 128 + b"}",
    "e6 great depth": b'{"content":"%b","a":' % CANARY + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "e7 upper case": b'{"CONTENT":"%b"}' % CANARY,
    "e7 beside the right one": b'{"content":"x","Content":"%b"}' % CANARY,
    "e8 missing": b'{"other":"%b"}' % CANARY,
    "e8 null": b'{"content":null,"other":"%b"}' % CANARY,
    "e11 batch": b'[{"content":"%b"},{"content":"%b"}]' % (CANARY, CANARY),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_e2_e4_e5_e6_e7_e8_e11_what_has_two_readings_is_a_400(name: str) -> None:
    origin, response = await sealed(REFUSED[name])

    assert response.status == 400
    assert origin.connections == 0
    assert CANARY not in response.raw


async def test_e6_a_hundred_thousand_members_and_128_levels_are_no_burden() -> None:
    many = ",".join(f'"k{number}":{number}' for number in range(100_000)).encode()
    deep = b"[" * 127 + b"]" * 127
    body = b'{%b,"deep":%b,"content":"%b"}' % (many, deep, CANARY)

    origin, response = await sealed(body)

    assert response.body == body
    assert CANARY not in origin.seen[0].body


async def test_e7_an_escaped_name_is_the_same_name() -> None:
    origin, _ = await sealed(b'{"\\u0063ontent":"%b"}' % CANARY)

    assert CANARY not in origin.seen[0].body
    assert origin.seen[0].body.startswith(b'{"\\u0063ontent":"eyJ0')


async def test_e9_what_looks_sealed_already_is_sealed_again() -> None:
    keys, first, second = a_world().sessions, Origin(mirror), Origin(mirror)
    await through(first, post(b'{"content":"x"}', JSON, target=b"/seal"), keys=keys)
    token = first.seen[0].body

    response, told = await through(second, post(token, JSON, target=b"/seal"), keys=keys)

    assert second.seen[0].body != token
    assert json.loads(token)["content"].encode() not in second.seen[0].body
    assert response.body == token
    assert told["sealed"] == 1


async def _opened(body: bytes, keys: KeySource, **more: Any) -> Response:  # noqa: ANN401 - what `through` takes
    async def once(peer: Peer, origin: Origin) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        peer.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    request = get(b"/open", b"X-Conversation: " + more.pop("conversation", b"c"))
    response, _ = await through(Origin(once), request, keys=keys, **more)
    return response


async def test_e10_whatever_keeps_a_token_from_opening_has_one_answer() -> None:
    origin, keys = Origin(mirror), a_world().sessions
    await through(origin, post(b'{"content":"%b"}' % CANARY, JSON, target=b"/seal"), keys=keys)
    token = origin.seen[0].body
    damaged = token[:-6] + (b"A" if token[-6:-5] != b"A" else b"B") + token[-5:]
    causes = [
        await _opened(damaged, keys),
        await _opened(b'{"content":"eyJ0eXAiOiJzeTEi.x.y.z.w"}', keys),
        await _opened(b'{"content":"plain"}', keys),
    ]

    told = [{**json.loads(one.body), "instance": "", "timestamp": ""} for one in causes]
    assert (await _opened(token, keys)).status == 200
    assert [one.status for one in causes] == [502] * 3
    assert told[0] == told[1] == told[2]
    assert not [one for one in causes if CANARY in one.raw]


@pytest.mark.parametrize("media", [b"application/xml", b"text/csv", b"application/graphql"])
async def test_e11_what_no_selector_fits_is_a_415(media: bytes) -> None:
    origin = Origin(mirror)
    body = b'{"content":"%b"}\n{"content":"x"}\n' % CANARY

    response, _ = await through(origin, post(body, b"Content-Type: " + media, target=b"/seal"))

    assert response.status == 415
    assert origin.connections == 0


def two_fields() -> RuleTable:
    """Return rules for two fields in a conversation that a header names."""
    items = tuple(
        Item(parse_selector(f"$.{name}"), name, frozenset({"tenant", "conversation", "field"}))
        for name in ("a", "b")
    )
    names = Names(parse_source("const:t"), parse_source("header:X-Conversation"))
    return RuleTable(
        (
            Rule("seal", (parse_pattern("POST /seal"),), names, request=(Block(encrypt=items),)),
            Rule("open", (parse_pattern("GET /open"),), names, response=(Block(decrypt=items),)),
        ),
        pass_unmatched=True,
    )


async def test_e12_a_token_opens_in_its_own_field_and_conversation_alone() -> None:
    origin, keys, rule_table = Origin(mirror), a_world().sessions, two_fields()
    body = b'{"a":"%b","b":"other"}' % CANARY
    message = post(body, JSON, b"X-Conversation: c", target=b"/seal")
    await through(origin, message, keys=keys, rule_table=rule_table)
    tokens = json.loads(origin.seen[0].body)
    swapped = json.dumps({"a": tokens["b"], "b": tokens["a"]}).encode()

    right = await _opened(origin.seen[0].body, keys, rule_table=rule_table)
    moved = await _opened(swapped, keys, rule_table=rule_table)
    other = await _opened(origin.seen[0].body, keys, rule_table=rule_table, conversation=b"d")

    assert (right.status, json.loads(right.body)) == (200, json.loads(body))
    assert (moved.status, other.status) == (502, 502)
    assert CANARY not in moved.raw + other.raw

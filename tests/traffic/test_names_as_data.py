"""Names of a refused request are data: the client is told, and no log; pages may read it."""

from __future__ import annotations

import json

import pytest

from tests.keys.builders import a_world

from .ours import local, proxied
from .test_closed_paths import CANARY, FORM, JSON, table
from .test_what_stays_open import GRAPHQL, RULES, TARGET, json_with, part, sent
from .wire import Origin, get, running, talk

ORIGIN = "https://app.example"
NAMED = {
    "a member": sent(b'{"content":"s","%b":1}' % CANARY, JSON),
    "a member within": sent(b'{"content":"s","kind":{"%b":1}}' % CANARY, JSON),
    "a field": sent(b"%b=1" % CANARY, FORM),
    "a name of the query": json_with(target=TARGET + b"?%b=1" % CANARY),
    "a part": part(b'name="%b"' % CANARY),
    "a header": json_with(b"X-%b: 1" % CANARY),
    "a header of a part": part(b'name="kind"', b"X-%b: 1" % CANARY),
    "an argument": sent(
        b'{"query":"mutation { send(text: \\"a\\", x: \\"%b\\") }"}' % CANARY, GRAPHQL
    ),
    "a second spelling": sent(b'{"content":"s","Content":"%b"}' % CANARY, JSON),
    "another method": get(TARGET + b"?content=" + CANARY, method=b"PUT"),
    "a value that sorts": json_with(target=TARGET + b"?page=content," + CANARY),
}


@pytest.mark.parametrize("place", NAMED)
async def test_a_name_that_is_refused_is_in_no_log_and_no_metric(place: str) -> None:
    origin = Origin()
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=table(RULES), keys=a_world().sessions) as ours,
    ):
        answer = await talk(ours.port, NAMED[place])
        told = repr(ours.ear.heard)
    assert answer.status in {400, 405}
    assert origin.seen == []
    assert CANARY.decode() not in told


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"birthday", "$.birthday"),
        (b"a@b.example", '$["a@b.example"]'),
        (b'\\"><script>', '$["\\"><script>"]'),
        (b"x" * 100, '$["' + "x" * 61 + "…"),
    ],
)
async def test_the_client_is_told_its_own_name(name: bytes, shown: str) -> None:
    origin = Origin()
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=table(RULES), keys=a_world().sessions) as ours,
    ):
        answer = await talk(ours.port, sent(b'{"content":"s","%b":1}' % name, JSON))
    assert json.loads(answer.body)["detail"] == f"Neither sealed nor `plain`: {shown}"
    assert answer.values(b"content-type") == [b"application/problem+json"]


@pytest.mark.parametrize(
    ("origins", "asked", "allowed"),
    [
        ({ORIGIN}, ORIGIN, ORIGIN),
        ({ORIGIN}, "https://evil.example", None),
        ({ORIGIN}, "https://app.example.evil.example", None),
        ({ORIGIN}, "null", None),
        ({ORIGIN}, None, None),
        ({"*"}, "https://any.example", "*"),
        (set(), ORIGIN, None),
    ],
)
async def test_pages_of_listed_origins_may_read_a_refusal(
    origins: set[str], asked: str | None, allowed: str | None
) -> None:
    lines = () if asked is None else (f"Origin: {asked}".encode(),)
    origin = Origin()
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=table(RULES), origins=frozenset(origins)) as ours,
    ):
        answer = await talk(ours.port, sent(b'{"content":"s","x":1}', JSON, *lines))
    found = [] if allowed is None else [allowed.encode()]
    assert answer.status == 400
    assert answer.values(b"access-control-allow-origin") == found
    assert (b"Origin" in answer.values(b"vary")) == bool(found)
    assert answer.values(b"access-control-allow-credentials") == (
        [b"true"] if allowed == ORIGIN else []
    )

"""The fuzzer itself: the same for the same seed, and its oracle sees what it is there for."""

from __future__ import annotations

import asyncio
import json

from tools.fuzz.backends.answering import answering, echo
from tools.fuzz.backends.backend import Echo
from tools.fuzz.backends.campaign import generated
from tools.fuzz.backends.case import CANARY, CHUNKS, Case, Marks, from_json
from tools.fuzz.backends.minimise import minimise
from tools.fuzz.backends.mutators import MUTATORS
from tools.fuzz.backends.oracle import canary, opened, readings, victim
from tools.fuzz.backends.routes import ROUTES

MARKS = Marks(canary(1), "a-token", victim(1), "mine-1")
TOKEN = "eyJ0eXAiOiJzeTEiLCJhbGciOiJkaXIi"


def line(handler: str, conversation: object, **values: object) -> str:
    reading = {"i": "json", "c": conversation, "v": values, "w": values.get("kind")}
    return json.dumps({"h": handler, "r": [reading]})


def wrong(told: str) -> list[str]:
    return [one.wrong for one in readings(told) if one.wrong]


def test_a_seed_gives_the_same_requests_and_another_seed_others() -> None:
    first, again, other = (
        [generated(seed, "go", number).render(MARKS) for number in range(300)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_every_route_and_every_mutator_gets_its_turn() -> None:
    cases = [generated(1, "go", number) for number in range(6000)]
    assert {case.route for case in cases} == {route.name for route in ROUTES}
    assert {name for case in cases for name in case.mutators} == set(MUTATORS)
    assert sum(case.honest for case in cases) > 300


def test_forms_come_in_chunks_of_every_size_some_with_nothing_to_seal() -> None:
    cases = [generated(1, "go", number) for number in range(6000)]
    forms = [case for case in cases if case.honest and "; boundary=" in str(case.headers)]
    assert {one for case in forms for one in case.codings} == set(CHUNKS)
    nothing = [case for case in forms if case.route == "survey" and CANARY not in case.body]
    assert any(case.chunked for case in nothing)


def test_chunks_are_as_long_as_they_say() -> None:
    case = Case("survey", "POST", "/", (), "abcdefgh", ("chunked by 3",))
    body = case.render(MARKS).partition(b"\r\n\r\n")[2]
    assert body == b"3\r\nabc\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"


async def test_what_comes_behind_a_message_that_was_cut_is_seen() -> None:
    strays: list[bytes] = []
    head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with answering(echo, strays) as port:
        seen = Echo(port, strays)
        assert not await seen.stray(f"{head}2\r\nok\r\n0\r\n\r\n".encode())
        cut = await seen.stray(f"{head}0\r\n\r\n4\r\n--\r\n\r\n0\r\n\r\n".encode())
    assert cut == repr(b"4\r\n--\r\n\r\n")


def test_a_case_is_kept_as_it_is() -> None:
    for number in range(300):
        case = generated(3, "php", number)
        assert from_json(json.loads(json.dumps(case.to_json()))) == case


def test_a_secret_that_a_ruled_handler_reads_is_seen() -> None:
    assert wrong(line("pay", None, card=[canary(7)])) == ["plain"]
    assert wrong(line("pay", None, card=TOKEN)) == []
    assert wrong(line("typed", None, content=canary(7), kind="secret")) == ["plain"]
    assert wrong(line("typed", None, content=canary(7), kind="public")) == []


def test_a_value_opened_for_another_conversation_is_seen() -> None:
    assert wrong(line("inbox", victim(7), content=opened(7))) == []
    assert wrong(line("inbox", [victim(7), victim(7)], content=opened(7))) == []
    for other in ("mine-1", victim(8), None, [victim(7), victim(8)]):
        assert wrong(line("inbox", other, content=opened(7))) == ["opened elsewhere"]


def test_what_can_be_left_out_of_a_find_is() -> None:
    headers = (("Host", "h"), ("X", "1"), ("Content-Type", "application/json"))
    case = Case("pay", "POST", "/api/pay?a=1&b=2", headers, '{"x":1,"card":"<<canary>>","y":2}')

    async def still(smaller: Case) -> bool:
        return "<<canary>>" in smaller.body and "b=2" in smaller.target

    small = asyncio.run(minimise(case, still))
    assert (small.target, small.headers) == ("/api/pay?b=2", (("Host", "h"),))
    assert len(small.body) <= len("<<canary>>") + 1

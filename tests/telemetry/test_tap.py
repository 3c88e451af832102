from __future__ import annotations

from dataclasses import replace

from proxy.demo.page import StoryTap
from proxy.telemetry.policy import LEASE_SECONDS, MOST_PER_SECOND
from proxy.telemetry.tap import Passing, Piece, Tap

from .conftest import a_line

NAMES = frozenset({"content"})
LINE = a_line(
    status=201,
    request_bytes=30,
    response_bytes=40,
    duration_ms=1.234567,
    request_outcomes=(("sealed", 1),),
    response_outcomes=(("opened", 1),),
)


def passing(request_id: str = "r-1", *, direction: str = "request", piece: Piece = "") -> Passing:
    return Passing(request_id, "api", "send", "POST", direction, piece)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


async def test_a_message_is_told_with_the_shapes_of_its_three_columns() -> None:
    tap = Tap(Clock())
    tap.look()
    tap.body(
        passing(direction="request"), b'{"content":"hi"}', b'{"content":"sy1.AAAA"}', NAMES, {}
    )
    tap.body(
        passing(direction="response"), b'{"content":"sy1.AAAA"}', b'{"content":"hi"}', NAMES, {}
    )
    tap.line(LINE)

    (told,) = tap.look()["messages"]
    assert told["client"] == told["reader"] == [[0, "content", "text", 2]]
    assert told["backend"] == told["answer"] == [[0, "content", "sealed", 8]]
    assert (told["client_bytes"], told["backend_bytes"]) == (16, 22)
    assert told["outcomes"] == {"sealed": 1, "opened": 1}
    assert (told["rule"], told["method"], told["status"], told["ms"]) == ("send", "POST", 201, 1.23)
    assert (told["sent"], told["got"]) == (30, 40)
    assert tap.look()["messages"] == []


async def test_of_many_messages_a_second_some_are_shown_and_the_rest_counted() -> None:
    clock = Clock()
    tap = Tap(clock)
    tap.look()
    for _ in range(MOST_PER_SECOND + 30):
        tap.line(replace(LINE, request_id="other"))
    first = tap.look()
    clock.now += 1
    tap.line(LINE)

    assert (len(first["messages"]), first["missed"]) == (MOST_PER_SECOND, 30)
    assert len(tap.look()["messages"]) == 1


async def test_the_demo_shows_all_messages_of_a_second() -> None:
    tap = StoryTap()
    tap.look()
    for _ in range(3 * MOST_PER_SECOND):
        tap.line(LINE)
    seen = tap.look()

    assert (len(seen["messages"]), seen["missed"]) == (3 * MOST_PER_SECOND, 0)


async def test_no_shape_is_made_beyond_what_a_second_shows() -> None:
    tap = Tap(Clock())
    tap.look()
    for number in range(MOST_PER_SECOND + 5):
        tap.body(passing(f"r-{number}"), b"{}", b"{}", NAMES, {})
    for number in range(MOST_PER_SECOND + 5):
        tap.line(replace(LINE, request_id=f"r-{number}"))

    seen = tap.look()
    assert (len(seen["messages"]), seen["missed"]) == (MOST_PER_SECOND, 5)


async def test_messages_that_never_end_are_forgotten() -> None:
    clock = Clock()
    tap = Tap(clock)
    tap.look()
    for number in range(1000):
        clock.now += 1
        tap.body(passing(f"r-{number}"), b"{}", b"{}", NAMES, {})

    assert len(tap._pending) <= 101


async def test_it_sees_no_longer_than_somebody_looks() -> None:
    clock = Clock()
    tap = Tap(clock)
    assert not tap.watched
    tap.look()
    assert tap.watched
    tap.line(LINE)
    clock.now += LEASE_SECONDS
    tap._end()

    assert not tap.watched
    assert tap.look()["messages"] == []


async def test_a_look_renews_the_lease() -> None:
    clock = Clock()
    tap = Tap(clock)
    tap.look()
    clock.now += LEASE_SECONDS - 1
    tap.look()
    clock.now += 2
    tap._end()

    assert tap.watched


async def test_a_message_of_a_websocket_is_told_at_once_with_what_became_of_its_values() -> None:
    tap = Tap(Clock())
    tap.look()
    sent = b'{"content":"hi"}', b'{"content":"sy1.AAAA"}'
    tap.body(passing(piece="message"), *sent, NAMES, {"sealed": 1})
    tap.body(passing(piece="message", direction="response"), sent[1], sent[0], NAMES, {"opened": 1})

    up, down = tap.look()["messages"]
    assert (up["part"], up["direction"], up["outcomes"]) == ("message", "request", {"sealed": 1})
    assert up["client"] == [[0, "content", "text", 2]]
    assert up["backend"] == [[0, "content", "sealed", 8]]
    assert (down["direction"], down["outcomes"]) == ("response", {"opened": 1})
    assert down["reader"] == up["client"]
    assert "answer" not in up
    assert (up["status"], up["error"], up["ms"]) == (None, None, None)


async def test_of_a_busy_websocket_no_more_shapes_are_made_than_a_second_shows() -> None:
    tap = Tap(Clock())
    tap.look()
    for _ in range(MOST_PER_SECOND + 30):
        tap.body(passing(piece="message"), b"{}", b"{}", NAMES, {})

    seen = tap.look()
    assert (len(seen["messages"]), seen["missed"]) == (MOST_PER_SECOND, 30)


async def test_the_request_of_a_stream_is_told_before_its_first_record() -> None:
    tap = Tap(Clock())
    tap.look()
    tap.body(passing(), b'{"content":"hi"}', b'{"content":"sy1.AAAA"}', NAMES, {"sealed": 1})
    tap.body(passing(piece="piece", direction="response"), b"a", b"b", NAMES, {})
    tap.line(LINE)

    request, record, end = tap.look()["messages"]
    assert (request["part"], request["client_bytes"]) == ("request", 16)
    assert (record["part"], record["reader_bytes"]) == ("piece", 1)
    assert "part" not in end
    assert "client" not in end


async def test_what_flows_has_a_kind_and_no_size() -> None:
    tap = Tap(Clock())
    tap.look()
    tap.body(passing(), "body", "stream", NAMES, {"sealed": 1})
    tap.line(LINE)

    (told,) = tap.look()["messages"]
    assert (told["client"], told["backend"]) == (
        [[0, None, "body", None]],
        [[0, None, "stream", None]],
    )
    assert (told["client_bytes"], told["backend_bytes"]) == (None, None)

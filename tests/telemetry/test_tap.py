from __future__ import annotations

from proxy.telemetry.tap import LEASE_SECONDS, MOST_PER_SECOND, Tap

from .conftest import a_line

NAMES = frozenset({"content"})
LINE = a_line(
    status=201,
    request_bytes=30,
    response_bytes=40,
    duration_ms=1.234567,
    counts={"sealed": 1, "response_opened": 1},
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


async def test_a_message_is_told_with_the_shapes_of_its_three_columns() -> None:
    tap = Tap(Clock())
    tap.look()
    tap.body("r-1", "request", b'{"content":"hi"}', b'{"content":"sy1.AAAA"}', NAMES)
    tap.body("r-1", "response", b'{"content":"sy1.AAAA"}', b'{"content":"hi"}', NAMES)
    tap.line(LINE)

    (told,) = tap.look()["messages"]
    assert told["client"] == told["reader"] == [[0, "content", "text", 2]]
    assert told["backend"] == told["answer"] == [[0, "content", "sealed", 8]]
    assert (told["client_bytes"], told["backend_bytes"]) == (16, 22)
    assert told["fates"] == {"sealed": 1}
    assert (told["rule"], told["method"], told["status"], told["ms"]) == ("send", "POST", 201, 1.23)
    assert (told["sent"], told["got"]) == (30, 40)
    assert tap.look()["messages"] == []


async def test_of_many_messages_a_second_some_are_shown_and_the_rest_counted() -> None:
    clock = Clock()
    tap = Tap(clock)
    tap.look()
    for _ in range(MOST_PER_SECOND + 30):
        tap.line(LINE._replace(request_id="other"))
    first = tap.look()
    clock.now += 1
    tap.line(LINE)

    assert (len(first["messages"]), first["missed"]) == (MOST_PER_SECOND, 30)
    assert len(tap.look()["messages"]) == 1


async def test_no_shape_is_made_beyond_what_a_second_shows() -> None:
    tap = Tap(Clock())
    tap.look()
    for number in range(MOST_PER_SECOND + 5):
        tap.body(f"r-{number}", "request", b"{}", b"{}", NAMES)
    for number in range(MOST_PER_SECOND + 5):
        tap.line(LINE._replace(request_id=f"r-{number}"))

    seen = tap.look()
    assert (len(seen["messages"]), seen["missed"]) == (MOST_PER_SECOND, 5)


async def test_messages_that_never_end_are_forgotten() -> None:
    clock = Clock()
    tap = Tap(clock)
    tap.look()
    for number in range(1000):
        clock.now += 1
        tap.body(f"r-{number}", "request", b"{}", b"{}", NAMES)

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

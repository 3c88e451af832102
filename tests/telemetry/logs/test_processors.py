"""The chain of processors: the console, and what operators' processors get, write and cost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog import DropEvent
from structlog.typing import EventDict, Processor

from proxy.core.crypto.secret import SessionKey
from proxy.telemetry.logs import library_logs
from proxy.telemetry.logs.logger import Logs
from proxy.telemetry.logs.processors import Format, shown

from ..conftest import CANARY, Page, a_line, rendered

TOKEN = "c2VjcmV0LUtleS0xMjM0NTY3ODkwMTIzNDU2"


def log_with(page: Page, *processors: Processor, log_format: Format = "json") -> Logs:
    named = {f"own.module:{number}": one for number, one in enumerate(processors)}
    return Logs(page, log_format, processors=named)


def renamed(_logger: object, _level: str, entry: EventDict) -> EventDict:
    return {**entry, "listener": "ward-7"}


def test_a_processor_may_change_what_an_event_says(page: Page) -> None:
    log_with(page, renamed).report("listener.started", listener="api", address="a:1")

    assert (page.lines[0]["listener"], page.lines[0]["address"]) == ("ward-7", "a:1")


def test_a_processor_gets_messages_too(page: Page) -> None:
    log_with(page, renamed).messages([a_line()])

    assert (page.lines[0]["event"], page.lines[0]["listener"]) == ("message.handled", "ward-7")


def test_processors_follow_each_other(page: Page) -> None:
    def louder(_logger: object, _level: str, entry: EventDict) -> EventDict:
        return {**entry, "listener": str(entry["listener"]).upper()}

    log_with(page, renamed, louder).report("listener.started", listener="api")

    assert page.lines[0]["listener"] == "WARD-7"


def test_a_processor_may_drop_an_event_at_no_loss(page: Page) -> None:
    def drop(_logger: object, _level: str, entry: EventDict) -> EventDict:
        raise DropEvent

    logs = log_with(page, drop)
    logs.report("listener.started", listener="api")

    assert (page.raw, logs.lost) == ([], 0)


def test_a_processor_sees_nothing_that_would_not_be_written(page: Page) -> None:
    seen: list[EventDict] = []

    def look(logger: object, level: str, entry: EventDict) -> EventDict:
        assert logger is None
        seen.append(dict(entry))
        return entry

    log_with(page, look).report(
        "poison.opened",
        sid="s1",
        rule=f"password={CANARY}",
        direction=SessionKey(CANARY.encode().ljust(32, b"-")),
        body=CANARY,
        exc_info=ValueError(CANARY),
    )

    assert CANARY not in repr(seen)
    assert seen[0]["level"] == "error"
    assert {type(value) for value in seen[0].values()} <= {str, int}


@pytest.mark.parametrize("log_format", get_args(Format))
@pytest.mark.parametrize(
    "added",
    [
        {"body": CANARY, "exc_info": True, "stack": CANARY, "exception": CANARY},
        {"listener": f"password={CANARY}", "address": [CANARY], "upstream": CANARY.encode()},
        {"listener": ValueError(CANARY), "dropped": CANARY, "level": CANARY, "timestamp": CANARY},
    ],
)
def test_what_a_processor_adds_is_checked_like_everything(
    page: Page, log_format: Format, added: dict[str, Any]
) -> None:
    def add(_logger: object, _level: str, entry: EventDict) -> EventDict:
        return {**entry, **added}

    try:
        _ = dict[str, str]()[CANARY]
    except KeyError:
        log_with(page, add, log_format=log_format).report("listener.started", listener="api")

    assert "listener.started" in page.text
    assert page.text.count("\n") == 1
    assert CANARY not in page.text


class Guise(str):  # noqa: SLOT000 - as careless as its author
    """Taken for the name of an event, or a key, and reads as something else."""

    taken_for = ""

    def __hash__(self) -> int:
        return hash(self.taken_for)

    def __eq__(self, other: object) -> bool:
        return other == self.taken_for


class EventGuise(Guise):
    taken_for = "listener.started"


class KeyGuise(Guise):
    taken_for = "listener"


def test_names_are_the_tables_own(page: Page) -> None:
    def disguise(_logger: object, _level: str, _entry: EventDict) -> EventDict:
        return {"event": EventGuise(CANARY), KeyGuise(CANARY): "api"}

    log_with(page, disguise).report("listener.started")

    assert page.lines[0]["listener"] == "api"
    assert CANARY not in page.text


@pytest.mark.parametrize("event", ["message.secret", f"x {CANARY}", None, [CANARY]])
def test_an_event_that_a_processor_made_up_is_a_loss(page: Page, event: object) -> None:
    def other(_logger: object, _level: str, entry: EventDict) -> EventDict:
        return {**entry, "event": event}

    logs = log_with(page, other)
    logs.report("listener.started", listener="api")

    assert (page.raw, logs.lost) == ([], 1)


def failing(error: BaseException) -> Processor:
    def fail(_logger: object, _level: str, entry: EventDict) -> EventDict:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        KeyError(CANARY),
        RecursionError(CANARY),
        SystemExit(CANARY),
        asyncio.CancelledError(CANARY),
        KeyboardInterrupt(CANARY),
        StopIteration(CANARY),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("log_format", get_args(Format))
def test_a_processor_that_fails_loses_the_line_and_nothing_more(
    page: Page, capsys: pytest.CaptureFixture[str], log_format: Format, error: BaseException
) -> None:
    logs = log_with(page, failing(error), renamed, log_format=log_format)
    for _ in range(3):
        logs.report("listener.started", listener="lost-listener")
        logs.messages([a_line(listener="lost-listener")])

    assert logs.lost == 6
    assert page.text.count("\n") == 1
    assert "log.processor_failed" in page.text
    assert type(error).__name__ in page.text
    assert "lost-listener" not in page.text
    assert CANARY not in page.text + "".join(capsys.readouterr())


def test_each_processor_that_fails_is_reported_once(page: Page) -> None:
    turns = iter([True, False, True, False])

    def every_other(_logger: object, _level: str, entry: EventDict) -> EventDict:
        if next(turns):
            raise ValueError
        return entry

    logs = log_with(page, every_other, failing(TypeError()))
    for _ in range(4):
        logs.report("listener.started", listener="api")

    failed = page.of("log.processor_failed")
    assert [line["processor"] for line in failed] == ["own.module:0", "own.module:1"]
    assert failed[0]["raised_at"].startswith(f"{__name__}:")
    assert logs.lost == 4


@pytest.mark.parametrize(
    "made", [None, CANARY, b"line", (CANARY,), [("event", "listener.started")]], ids=repr
)
def test_what_is_no_dictionary_is_a_failure(page: Page, made: Any) -> None:  # noqa: ANN401 - as it says
    logs = log_with(page, lambda *_: made)
    logs.report("listener.started", listener="api")

    assert [line["event"] for line in page.lines] == ["log.processor_failed"]
    assert (page.lines[0]["exception.type"], logs.lost) == ("TypeError", 1)


def test_a_dictionary_that_fails_later_is_a_loss(page: Page) -> None:
    class Cruel(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - whatever a dictionary holds
            raise RuntimeError(CANARY)

    logs = log_with(page, lambda *_: Cruel())
    logs.report("listener.started", listener="api")

    assert (page.raw, logs.lost) == ([], 1)


def test_what_a_processor_logs_does_not_come_to_it_again(page: Page) -> None:
    calls = []

    def talkative(_logger: object, _level: str, entry: EventDict) -> EventDict:
        calls.append(entry)
        logging.getLogger("own.module").error(CANARY)
        return entry

    logs = log_with(page, talkative)
    with library_logs.route(logs):
        logs.report("listener.started", listener="api")

    assert [line["event"] for line in page.lines] == ["library.message", "listener.started"]
    assert len(calls) == 1
    assert CANARY not in page.text


SCALARS: tuple[Callable[[], st.SearchStrategy[Any]], ...] = (st.text, st.integers, st.floats)


@given(st.one_of(*(kind() for kind in SCALARS)) | st.just(TOKEN))
def test_to_check_twice_changes_nothing(value: object) -> None:
    once = shown("rule", value)

    assert json.dumps(shown("rule", once)) == json.dumps(once)


def test_people_see_event_and_fields_sorted_by_key() -> None:
    line = rendered("message.handled", {"status": 201, "method": "POST"}, "console")

    assert b"message.handled" in line
    assert line.index(b"method=POST") < line.index(b"status=201")


def test_nothing_in_a_value_reaches_the_terminal_raw() -> None:
    line = rendered("message.refused", {"reason": "a\r\n\x1b[2Jé"}, "console")

    assert line.removesuffix(b"\n").decode().isprintable()


def test_the_class_of_an_exception_is_on_the_same_line() -> None:
    line = rendered("library.message", {"exception": "ValueError"}, "console")

    assert b"exception.type=ValueError" in line
    assert line.count(b"\n") == 1

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from aiohttp import web
from pytest_aiohttp import AiohttpRawServer

from proxy.telemetry.logs import library_logs
from proxy.telemetry.logs.logger import Logs

from ..conftest import CANARY, Page

MALFORMED = (
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n",
    b"GET / %s\r\nHost: a\r\n\r\n",
    b"GET /%s\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n\r\n",
)


class Cruel:
    """Its text is a secret, or an error."""

    def __repr__(self) -> str:
        return CANARY


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Talk = Callable[[Handler, bytes], Awaitable[None]]


@pytest.fixture
def talk(aiohttp_raw_server: AiohttpRawServer) -> Talk:
    """Send bytes to a real server of aiohttp, and read until it closes."""

    async def send(handler: Handler, request: bytes) -> None:
        server = await aiohttp_raw_server(handler, debug=False)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await writer.wait_closed()

    return send


@pytest.mark.parametrize("request_bytes", MALFORMED)
async def test_malformed_requests_to_aiohttp_leave_no_byte_in_the_log(
    request_bytes: bytes, talk: Talk, routed: Logs, page: Page
) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response()

    await talk(handler, request_bytes % CANARY.encode())

    assert page.of("library.message")
    assert CANARY not in page.text


async def test_a_handler_that_fails_is_logged_by_class_and_place(
    talk: Talk, routed: Logs, page: Page
) -> None:
    async def handler(_: web.BaseRequest) -> web.Response:
        raise ValueError(CANARY)

    await talk(handler, b"GET /?q=%s HTTP/1.1\r\nHost: a\r\n\r\n" % CANARY.encode())

    line = page.of("library.message")[0]
    assert [
        line["logger"],
        line["level"],
        line["exception.type"],
    ] == ["aiohttp.server", "error", "ValueError"]
    assert line["raised_at"].startswith(__name__ + ":")
    assert CANARY not in page.text


def test_a_message_of_a_library_keeps_its_text(routed: Logs, page: Page) -> None:
    logging.getLogger("some.library").warning("value %s and %r", CANARY, Cruel())
    logging.getLogger("some.library").error(f"value {CANARY}")  # noqa: G004 - as libraries do

    assert [line["level"] for line in page.of("library.message")] == ["warning", "error"]
    assert page.lines[0]["where"].startswith("logs/test_library_logs.py:")
    assert CANARY not in page.text


def test_what_libraries_log_by_structlog_keeps_its_text(
    routed: Logs, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = structlog.get_logger(CANARY, bound=CANARY)
    logger.info(CANARY)
    logger.warning("value %s", CANARY, key=Cruel())
    try:
        _ = dict[str, str]()[CANARY]
    except KeyError as error:
        logger.exception(CANARY)
        logger.critical(CANARY, exc_info=error)

    assert [
        (line["event"], line["level"], line["logger"], line.get("exception.type"))
        for line in page.lines
    ] == [
        ("library.message", "warning", "structlog", None),
        ("library.message", "error", "structlog", "KeyError"),
        ("library.message", "error", "structlog", "KeyError"),
    ]
    assert page.lines[0]["where"].startswith(f"{__name__}:")
    assert CANARY not in page.text + "".join(capsys.readouterr())


def test_messages_below_a_warning_are_not_written(routed: Logs, page: Page) -> None:
    logging.getLogger("asyncio").info("hello")
    logging.getLogger("asyncio").debug("hello")

    assert not page.lines


def test_an_exception_with_causes_and_notes_shows_neither(routed: Logs, page: Page) -> None:
    def fail() -> None:
        try:
            _ = dict[str, str]()[CANARY]
        except KeyError as cause:
            cause.add_note(CANARY)
            raise RuntimeError(CANARY, Cruel()) from cause

    try:
        fail()
    except RuntimeError:
        logging.getLogger("x").exception("failed", stack_info=True)

    assert page.lines[0]["exception.type"] == "RuntimeError"
    assert CANARY not in page.text


def test_a_broken_record_prints_nothing(
    routed: Logs, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("x").error("%d", CANARY)
    logging.getLogger("x").error("%s %s", CANARY)  # noqa: PLE1206 - broken on purpose

    assert capsys.readouterr() == ("", "")
    assert CANARY not in page.text


def test_a_sink_that_fails_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: bytes) -> None:
        raise RuntimeError(CANARY)

    handler = library_logs.LibraryHandler(Logs(fail))
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, CANARY, None, None)
    handler.handleError(record)

    assert capsys.readouterr() == ("", "")


def test_a_record_made_by_hand_never_fails_who_logs_it(
    routed: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"name": "x", "levelno": logging.ERROR, "pathname": None, "exc_info": CANARY}
    logging.getLogger("x").handle(logging.makeLogRecord(odd))

    assert capsys.readouterr() == ("", "")


def test_warnings_are_named_by_category_and_place(routed: Logs, page: Page) -> None:
    # The filter of this test run would make an error of it, so the hook is called as Python does.
    warnings.showwarning(UserWarning(CANARY), UserWarning, "/a/b/c.py", 7)

    assert [(w["category"], w["where"]) for w in page.lines] == [("UserWarning", "b/c.py:7")]
    assert CANARY not in page.text


def test_warnings_that_are_issued_reach_the_hook(routed: Logs, page: Page) -> None:
    filters = warnings.filters[:]
    try:
        warnings.simplefilter("always")
        warnings.warn(CANARY, stacklevel=1)
    finally:
        warnings.filters[:] = filters  # type: ignore[index] # typeshed calls the list a sequence
        warnings._filters_mutated()  # type: ignore[attr-defined] # as warnings itself does

    assert len(page.of("library.warning")) == 1
    assert CANARY not in page.text


@pytest.mark.parametrize("source", ["main", "thread", "unraisable"])
def test_unhandled_exceptions_are_named_by_class(source: str, routed: Logs, page: Page) -> None:
    error = ValueError(CANARY)
    hooks: dict[str, Any] = {
        "main": lambda: sys.excepthook(ValueError, error, None),
        "thread": lambda: threading.excepthook(
            SimpleNamespace(exc_type=ValueError, exc_value=error, exc_traceback=None, thread=None)  # type: ignore[arg-type] # its fields are all that a hook reads
        ),
        "unraisable": lambda: sys.unraisablehook(
            SimpleNamespace(
                exc_type=ValueError,
                exc_value=error,
                exc_traceback=None,
                err_msg=CANARY,
                object=Cruel(),
            )
        ),
    }
    hooks[source]()

    assert [(source, "ValueError")] == [(e["source"], e["exception.type"]) for e in page.lines]
    assert CANARY not in page.text


async def test_a_task_whose_exception_nobody_fetched_shows_no_value(
    routed: Logs, page: Page
) -> None:
    async def fail() -> None:
        raise ValueError(CANARY)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(library_logs.asyncio_handler(routed))
    task = loop.create_task(fail(), name=CANARY)
    await asyncio.wait([task])
    del task
    gc.collect()

    line = page.of("exception.unhandled")[0]
    assert [
        line["source"],
        line["exception.type"],
        line["context"],
    ] == ["asyncio", "ValueError", "exception,future"]
    assert CANARY not in page.text


async def test_asyncio_without_our_handler_shows_no_value_either(routed: Logs, page: Page) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": CANARY, "exception": ValueError(CANARY)})

    assert page.lines[0]["logger"] == "asyncio"
    assert CANARY not in page.text


@pytest.fixture
def _configured_structlog() -> Iterator[None]:
    structlog.configure([structlog.processors.add_log_level])
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_configured_structlog")
def test_a_configuration_of_structlog_is_as_before_after_the_block(logs: Logs) -> None:
    before = structlog.get_config()
    with library_logs.route(logs):
        assert before != structlog.get_config()

    assert before == structlog.get_config()


def test_everything_is_as_before_after_the_block(logs: Logs) -> None:
    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning)
        lib = (root.handlers[:], root.level, logging.raiseExceptions)
        return (*hooks, *lib, structlog.is_configured(), structlog.get_config())

    before = state()
    with library_logs.route(logs):
        assert before != state()

    assert before == state()


SERVER = """
from proxy.telemetry.logs import library_logs
from proxy.telemetry.logs.logger import to_stderr

class Last:
    def __del__(self):
        raise ValueError("{canary}")

library_logs.route(to_stderr())
last = Last()
raise KeyError("{canary}")
"""


def test_even_the_end_of_the_process_shows_no_value() -> None:
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", SERVER.format(canary=CANARY)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["exception.type"] for line in lines] == ["KeyError", "ValueError"]
    assert CANARY not in done.stdout + done.stderr

"""What commands that run until they are told to stop have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import click

from ..telemetry.logs import library_logs
from ..telemetry.logs.logger import Logs

_T = TypeVar("_T")
_MOST_SECONDS: Final = 3600.0

log_format_option: Final = click.option(
    "--log-format",
    type=click.Choice(["json", "console", "ecs"]),
    default="json",
    show_default=True,
    help="How log lines are written to stderr: JSON (json, ecs: Elastic's names) or for people.",
)


def seconds_option(name: str, default: float, meaning: str) -> Callable[..., Any]:
    """Return an option that takes seconds, at most an hour."""
    return click.option(
        name,
        type=click.FloatRange(0, _MOST_SECONDS),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help=meaning,
    )


def run(logs: Logs, running: Coroutine[object, object, _T]) -> _T:
    """Run it on an event loop of uvloop; what nobody catches there goes to the log."""
    import uvloop  # noqa: PLC0415 - the other commands do without an event loop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(library_logs.asyncio_handler(logs))
        return runner.run(running)

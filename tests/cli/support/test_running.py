from __future__ import annotations

import asyncio

import click
import pytest
import uvloop
from click.testing import CliRunner

from proxy.cli.support import run_until_stopped
from proxy.telemetry.logs.logger import to_stderr


def test_it_runs_on_uvloop_and_returns_the_result() -> None:
    async def which() -> type[asyncio.AbstractEventLoop]:
        await asyncio.sleep(0)
        return type(asyncio.get_running_loop())

    assert run_until_stopped.run(to_stderr("json"), which()) is uvloop.Loop


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("structlog.processors:add_log_level", None),
        ("structlog.stdlib:ProcessorFormatter.remove_processors_meta", None),
        ("no_such_module:function", "ModuleNotFoundError"),
        ("structlog.processors:no_such_function", "AttributeError"),
        ("structlog.processors", "AttributeError"),
        (":function", "ValueError"),
        ("structlog.processors:CallsiteParameter.LINENO.value", "not a function"),
    ],
)
def test_a_log_processor_is_imported_by_its_name(given: str, problem: str | None) -> None:
    @click.command()
    @run_until_stopped.log_processor_option
    def command(*, log_processors: tuple[run_until_stopped.LogProcessor, ...]) -> None:
        click.echo(",".join(one.name for one in log_processors if callable(one.call)))

    result = CliRunner().invoke(command, ["--log-processor", given])

    if problem is None:
        assert (result.exit_code, result.stdout) == (0, f"{given}\n")
    else:
        assert result.exit_code == 2
        assert problem in result.stderr


@pytest.mark.parametrize(("given", "code"), [("0", 0), ("3600", 0), ("-1", 2), ("3601", 2)])
def test_an_option_in_seconds_is_at_most_an_hour(given: str, code: int) -> None:
    @click.command()
    @run_until_stopped.seconds_option("--wait", 5.0, "How long.")
    def command(*, wait: float) -> None:
        click.echo(wait)

    result = CliRunner().invoke(command, ["--wait", given])

    assert result.exit_code == code

from __future__ import annotations

import asyncio

import click
import pytest
import uvloop
from click.testing import CliRunner

from proxy.cli import running
from proxy.telemetry.logs.logger import to_stderr


def test_it_runs_on_uvloop_and_returns_the_result() -> None:
    async def which() -> type[asyncio.AbstractEventLoop]:
        await asyncio.sleep(0)
        return type(asyncio.get_running_loop())

    assert running.run(to_stderr("json"), which()) is uvloop.Loop


@pytest.mark.parametrize(("given", "code"), [("0", 0), ("3600", 0), ("-1", 2), ("3601", 2)])
def test_an_option_in_seconds_is_at_most_an_hour(given: str, code: int) -> None:
    @click.command()
    @running.seconds_option("--wait", 5.0, "How long.")
    def command(*, wait: float) -> None:
        click.echo(wait)

    result = CliRunner().invoke(command, ["--wait", given])

    assert result.exit_code == code

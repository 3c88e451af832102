"""The handler behind a ruled route never runs with plaintext, however the request is spelled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bypass.backends import PLANS, Backend, missing, running
from tests.bypass.measuring import alone, protected
from tests.bypass.rows import parts, rows, table

pytestmark = pytest.mark.bypass

LEAST = 20
"""How many rows must reach the handler of each backend with plaintext when nothing protects it."""


@pytest.fixture(scope="module", params=PLANS)
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    name: str = request.param
    if lacking := missing(name):
        pytest.skip(f"{name} is not installed here ({lacking}): .ci/run installs it")
    with running(name, tmp_path_factory.mktemp(name) / "run") as found:
        yield found


async def test_no_row_runs_the_handler_with_plaintext(backend: Backend) -> None:
    async with protected(backend) as sealyard:
        for row in rows():
            result = await sealyard.send(row)
            assert not result.leaked, (row, result)
            refused = result.status in {400, 415}
            assert result.sealed or refused or not result.runs, (row, result)


async def test_what_is_sound_runs_the_handler_with_a_sealed_value(backend: Backend) -> None:
    sound = {"m01", "b01", "b16c", "b22", "p18", "p31", "p32", "p36", "f01", "f02"}
    sound |= {"part-boundary/plain", "part-boundary/quoted", "part-file/plain", "part-value/json"}
    async with protected(backend) as sealyard:
        for row in rows():
            if row.name in sound:
                result = await sealyard.send(row)
                assert (result.status, str(result)) == (200, "sealed"), row


async def test_without_sealyard_many_rows_would_have_leaked(backend: Backend) -> None:
    leaked = [row.name for row in rows() if (await alone(backend, row)).leaked]
    assert len(leaked) >= LEAST, leaked


def test_every_row_of_the_table_is_sent() -> None:
    sent = {row.name[:3] for row in rows()}
    assert {name for name, _, _ in table()} <= sent
    assert len(parts()) > 100

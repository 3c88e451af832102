"""The sidecars that the scenarios share, and what they logged where a test fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.scenarios import pool


@pytest.fixture(autouse=True, scope="session")
def shared_sidecars() -> Iterator[None]:
    """End them with the session."""
    with pool.closing():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the sidecars that a failed test had."""
    report = yield
    if report.failed:
        report.sections += list(pool.POOL.told())
    if report.when == "teardown":
        pool.POOL.forget()
    return report

"""What the code can say and what people can type is documented, and the pages are current."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from proxy.admin.problem import ERRORS, AdminError
from proxy.cli import main, reference
from proxy.core.errors import TrafficError, traffic_errors
from proxy.telemetry.logs.events import EVENTS
from proxy.telemetry.metrics.table import METRICS

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == reference.PAGES[name](), (
        "run ./dev docs"
    )


@pytest.mark.parametrize("error", traffic_errors(), ids=lambda error: error.code)
def test_every_error_code_is_documented(error: type[TrafficError]) -> None:
    assert f"| `{error.code}` |" in (REFERENCE / "errors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_documented(event: str) -> None:
    assert f"| `{event}` |" in (REFERENCE / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_documented(metric: str) -> None:
    assert f"| `{metric}` |" in (REFERENCE / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_every_error_of_the_admin_api_is_documented(error: AdminError) -> None:
    page = (REFERENCE.parent / "how-to" / "admin.md").read_text(encoding="utf-8")

    assert f"`{error.code}`" in page


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_every_command_is_documented(command: str) -> None:
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")

    assert f"## sealyard {command}\n" in page

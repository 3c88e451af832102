from __future__ import annotations

import click
import pytest

from proxy.cli.support import base


def test_a_time_comes_back_as_it_was_said() -> None:
    assert base.utc(base.seconds("2026-11-24T18:00:00Z")) == "2026-11-24T18:00:00Z"


def test_an_offset_counts_and_parts_of_seconds_do_not() -> None:
    assert base.seconds("2026-11-24T20:00:00.9+02:00") == base.seconds("2026-11-24T18:00:00Z")


@pytest.mark.parametrize("text", ["", "now", "2026-11-24T18:00:00", "1795546078"])
def test_anything_else_is_a_mistake_of_usage(text: str) -> None:
    with pytest.raises(click.UsageError):
        base.seconds(text)

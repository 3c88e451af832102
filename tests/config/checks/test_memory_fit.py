"""How memory is divided, and the warning where limits do not fit into it."""

from __future__ import annotations

import pytest

from proxy.config.checks.memory_fit import divide
from proxy.config.limits import MEBIBYTE, TrafficLimits
from proxy.config.load import parse
from proxy.config.policy import LEAST_DIVIDED_BYTES, OWN_BYTES, SUPERVISOR_BYTES
from tests.config.builders import FILE, ROOT, SMALL


def test_the_parts_add_up_as_the_reference_says() -> None:
    parts = divide(256 * MEBIBYTE, [TrafficLimits()])
    whole = [round(one / MEBIBYTE) for one in (parts.own, parts.small, parts.largest)]
    assert whole == [96, 19, 96]
    assert round(parts.divided / MEBIBYTE) == 45
    assert parts.own + parts.small + parts.largest + parts.divided == 256 * MEBIBYTE
    assert parts.missing == 0


def test_workers_share_what_their_supervisor_leaves() -> None:
    parts = divide(SUPERVISOR_BYTES + 1000 * MEBIBYTE, [TrafficLimits()], processes=4)
    assert parts.limit == 250 * MEBIBYTE


def test_a_process_that_has_grown_leaves_less() -> None:
    parts = divide(256 * MEBIBYTE, [], own=OWN_BYTES + 7)
    assert parts.divided == 256 * MEBIBYTE - OWN_BYTES - 7


def test_what_does_not_fit_still_has_the_least_and_tells_what_is_missing() -> None:
    parts = divide(200 * MEBIBYTE, [TrafficLimits(body=MEBIBYTE), TrafficLimits()])
    assert parts.divided == LEAST_DIVIDED_BYTES
    assert parts.missing == parts.own + parts.small + parts.largest + LEAST_DIVIDED_BYTES - (
        200 * MEBIBYTE
    )


def test_the_chart_knows_what_the_default_limits_need() -> None:
    whole = divide(0, [TrafficLimits()])
    needed = -(-whole.missing // MEBIBYTE)
    assert f"(lt $mebibytes {needed})" in (ROOT / "helm/sealyard/templates/NOTES.txt").read_text()


@pytest.mark.parametrize(("memory", "told"), [("200MiB", "27 MiB more"), ("256MiB", "")])
def test_limits_that_do_not_fit_are_told(memory: str, told: str) -> None:
    loaded = parse(f"{SMALL}memory: {memory}\n", FILE, {"P": "x"})
    assert loaded.settings.memory == int(memory[:3]) * MEBIBYTE
    warnings = [one for one in loaded.warnings if " memory " in one]
    assert len(warnings) == bool(told)
    assert all(told in one for one in warnings)

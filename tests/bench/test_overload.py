from __future__ import annotations

from tools.bench.overload.clients import Asked
from tools.bench.overload.page import FOUND, PAGE, render
from tools.bench.overload.record import Phases, delivered, read

PHASES = Phases(calm=2, storm=10, after=4)
SERVED, LATE, REFUSED, LEFT, CUT = (200, 0.1), (200, 1.2), (503, 0.01), (0, 1.0), (-1, 0.2)


def asked(at: float, outcome: tuple[int, float], *, polite: bool = False) -> Asked:
    status, seconds = outcome
    return Asked(at, polite, status, seconds, 0.0)


def test_only_what_is_served_in_time_during_the_storm_is_good() -> None:
    storm = [
        asked(2 + each, outcome)
        for each in range(10)
        for outcome in (SERVED, SERVED, LATE, REFUSED, LEFT, CUT)
    ]
    polite = [asked(3, SERVED, polite=True), asked(4, LEFT, polite=True)]
    around = [asked(at, SERVED) for at in (0, 1, 12, 13, 14, 15)]

    found = delivered(
        storm + polite + around,
        proxy="one",
        limits="none",
        capacity=4,
        phases=PHASES,
        probed=[0.01, 0.02],
    )

    assert found.good == 2.1
    assert found.of_capacity == 0.525
    assert found.polite == 0.5
    assert found.refused == round(10 / 62, 4)
    assert found.left == round(11 / 62, 4)
    assert found.cut == round(10 / 62, 4)
    assert found.refused_p50 == 10
    assert found.recovery_seconds == 0
    assert found.probe_most == 20


def recovery(*after: Asked) -> float | None:
    calm = [asked(0, SERVED), asked(1, SERVED), asked(5, LEFT)]
    parts = {"proxy": "one", "limits": "none"}
    found = delivered([*calm, *after], **parts, capacity=4, phases=PHASES, probed=[])
    return found.recovery_seconds


def test_recovery_ends_with_the_last_request_that_was_slow_or_refused() -> None:
    assert recovery(asked(12.5, REFUSED), asked(13, (200, 0.6)), asked(13.5, SERVED)) == 1


def test_what_is_slow_to_the_end_has_not_recovered() -> None:
    assert recovery(asked(13.5, SERVED), asked(15.5, (200, 0.6))) is None


def test_the_page_shows_the_record_that_is_kept() -> None:
    page = PAGE.read_text()

    assert render(read(FOUND) if FOUND.exists() else None, page) == page

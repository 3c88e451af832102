"""What a section makes of the declarations of its fields."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from proxy.config.declared.kinds import PlainText
from proxy.config.declared.section import inline, keys_of, restarts, setting
from proxy.config.limits import TrafficLimits
from proxy.config.settings import AdminSettings, Settings, TcpAddress
from proxy.config.settings.file import HealthSettings
from tests.config.builders import SMALL, loaded

HERE = TcpAddress("127.0.0.1", 1)
ADMIN, HEALTH = AdminSettings(HERE), HealthSettings(HERE)
USUAL: Settings = loaded(SMALL).settings


def test_a_change_that_a_reload_applies_takes_no_restart() -> None:
    (listener,) = USUAL.listeners
    changed = replace(listener, limits=TrafficLimits(body=1), trusted_names=True)

    assert [*restarts(listener, changed)] == []
    assert [*restarts(USUAL, replace(USUAL, listeners=(changed,)))] == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"admin": ADMIN}, {"admin": replace(ADMIN, tap=True)}, ["admin.tap"]),
        ({"admin": ADMIN}, {"admin": None}, ["admin.listen"]),
        ({"health": None}, {"health": HEALTH}, ["health.listen"]),
        ({"health": HEALTH}, {"health": replace(HEALTH, stalled_after=1.0)}, []),
    ],
)
def test_a_section_tells_which_of_its_keys_take_a_restart(
    before: dict[str, AdminSettings | HealthSettings | None],
    after: dict[str, AdminSettings | HealthSettings | None],
    told: list[str],
) -> None:
    old, new = (replace(USUAL, **one) for one in (before, after))  # type: ignore[arg-type]  # by name

    assert [*restarts(old, new)] == told


def test_sections_within_sections_are_looked_into() -> None:
    keys = USUAL.keys
    sessions = replace(keys.sessions, ttl=60.0, accept_loss=True)

    assert [*restarts(keys, replace(keys, sessions=sessions))] == ["sessions.ttl"]


@dataclass(frozen=True)
class _Inner:
    name: str | None = setting(
        PlainText(), "What {thing} is called.", default=None, absent="{other}"
    )


@dataclass(frozen=True)
class _Outer:
    inner: _Inner = inline(_Inner, of={"thing": "a table", "other": "its number"})


def test_what_the_reference_says_of_keys_in_line_is_filled_in() -> None:
    (key,) = keys_of(_Outer)

    assert (key.name, key.doc, key.absent) == ("name", "What a table is called.", "its number")

from __future__ import annotations

import re

import pytest

from proxy.telemetry.logs.event_keys import LEVELS, Event
from proxy.telemetry.logs.events import EVENTS

each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.name)


@each_event
def test_an_event_is_named_area_dot_fact(event: Event) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", event.name)


@each_event
def test_an_event_has_one_of_the_levels(event: Event) -> None:
    assert event.level in LEVELS


@each_event
def test_keys_are_plain_words_that_the_line_does_not_use_itself(event: Event) -> None:
    assert len(event.keys) == len(set(event.keys))
    assert not set(event.keys) & {"at", "level", "event", "dropped"}
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", key) for key in event.keys)


@each_event
def test_an_event_says_what_it_means(event: Event) -> None:
    assert event.meaning.endswith(".")


def test_a_refused_message_leaves_the_same_line_as_a_handled_one() -> None:
    assert EVENTS["message.refused"].keys == EVENTS["message.handled"].keys

from __future__ import annotations

import pytest

from proxy.config.schema.all_tables import TABLES
from proxy.config.schema.renamed_keys import RENAMED_KEYS, RenamedKey
from tests.config.builders import changed, loaded, problems_of, warnings_of

LIMITS = "unmatched: pass\n    limits: {body: 1MiB, frame: 4GiB}"
OLD = changed("unmatched: pass", LIMITS)


def newer(text: str) -> str:
    return text.replace("version: 1", "version: 2")


@pytest.mark.parametrize("key", RENAMED_KEYS, ids=lambda key: f"{key.table}.{key.old}")
def test_the_new_name_is_a_key_and_the_old_one_is_none(key: RenamedKey) -> None:
    (table,) = (one for one in TABLES if one.name == key.table)

    assert key.new in table.by_name
    assert key.old not in table.by_name


def test_a_file_of_the_first_version_is_read_by_the_new_name_and_warned_of() -> None:
    (listener,) = loaded(OLD).settings.listeners

    assert (listener.limits.body, listener.limits.stream) == (1024**2, 4 * 1024**3)
    assert warnings_of(OLD) == [
        "9:26 listeners[0].limits.frame was renamed; write `stream`: version 2 refuses the old name"
    ]


def test_a_file_of_the_second_version_is_refused_with_the_new_name() -> None:
    assert problems_of(newer(OLD)) == ["9:26 listeners[0].limits.frame was renamed; write `stream`"]


@pytest.mark.parametrize("text", [OLD, newer(OLD)], ids=["first", "second"])
def test_both_names_at_once_are_a_mistake(text: str) -> None:
    both = text.replace("frame: 4GiB", "frame: 4GiB, stream: 2GiB")

    assert problems_of(both) == [
        "9:26 listeners[0].limits.frame is the old name of `stream`, which is also given; delete it"
    ]


@pytest.mark.parametrize(
    "text",
    [
        OLD.replace("limits: {body: 1MiB, frame: 4GiB}", "limits: [frame]"),
        OLD.replace("{body: 1MiB, frame: 4GiB}", "frame"),
        "version: 2\nlisteners: {limits: {frame: 1}}\n",
        "[listeners, limits, frame]",
    ],
)
def test_what_is_no_mapping_is_left_to_its_reader(text: str) -> None:
    assert not any("renamed" in one for one in problems_of(text))

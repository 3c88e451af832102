from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.keys.sessions.durable import durable_session
from tests.keys.builders import a_keyring
from tools.bench.migration import clinic, interrupted, laws, page
from tools.bench.migration.places import PLACES

COST = {"seconds": 2.0, "cpu_seconds": 1.0, "memory_kib": 50 * 1024, "status": 0}
RUN: dict[str, Any] = {
    "rows": 3000,
    "workers": 2,
    "updates": 400,
    "updates_per_second": 198,
    "kills": 0,
    "planned_seconds": 1.5,
    "seal": COST,
    "verify": COST,
    "open": COST,
    "lost": 0,
    "plain": 0,
    "doubled": 0,
    "not_byte_equal": 0,
}
STREAM: dict[str, Any] = {
    "values": 3000,
    "seal": COST,
    "open": COST,
    "values_per_cpu_second": 23_000,
    "plain": 0,
    "byte_equal": True,
}


def found() -> dict[str, Any]:
    said = dict.fromkeys(("date", "commit", "cores", "system", "python"), "x") | {"load": "0.1"}
    runs = [RUN | {"not_byte_equal": 7}]
    return {"about": said, "runs": runs, "naive_rows_per_second": 321}


def test_the_page_shows_the_record_that_is_kept() -> None:
    written = page.PAGE.read_text()

    assert page.render(page.read(), written) == written


def test_the_page_shows_every_figure_of_a_part() -> None:
    before = "head\n<!-- migration: begin -->\nold\n<!-- migration: end -->\nfoot\n"
    of_kinto = found() | {"runs": [RUN | {"plain": 3}]}
    written = page.render({"mariadb": found(), "kinto": of_kinto}, before)

    assert written.startswith("head\n")
    assert written.endswith("foot\n")
    assert "old" not in written
    assert (
        "| 3,000 | 2 | 400, 198 / s | 0 | 1.5 s | 2.0 s | 1,500 | 2.0 s | 2.0 s | 50.0 MiB |"
        " 0, 0, 0, 7 |" in written
    )
    assert "row by row seals 321 rows / s" in written
    assert "| 3,000 | 1.5 s | 2.0 s | 1,500 | 2.0 s | 2.0 s | 50.0 MiB | 3, 0 |" in written


@pytest.mark.parametrize(("load", "busy"), [("0.5", False), ("0.6", True)])
def test_a_machine_with_other_work_is_busy(load: str, busy: bool) -> None:  # noqa: FBT001 - a parameter
    assert page.busy({"load": load}) is busy


def test_what_has_left_nothing_breaks_no_law() -> None:
    left = RUN | {"seal": COST | {"status": 1}}  # `verify` says what a row is that was left

    assert [*laws.broken(left, rows=3000), *laws.broken(STREAM, rows=3000)] == []


@pytest.mark.parametrize(
    ("run", "change"),
    [
        (RUN, {"lost": 1}),
        (RUN, {"plain": 1}),
        (RUN, {"doubled": 1}),
        (RUN, {"not_byte_equal": 1}),
        (RUN, {"rows": 2999}),
        (RUN, {"kills": 199}),
        (RUN, {"updates": 0}),
        (RUN, {"seal": COST | {"status": 3}}),
        (RUN, {"verify": COST | {"status": 1}}),
        (RUN, {"open": COST | {"status": 1}}),
        (RUN, {"seal": COST | {"memory_kib": 64 * 1024 + 1}}),
        (RUN, {"verify": COST | {"memory_kib": 64 * 1024 + 1}}),
        (STREAM, {"byte_equal": False}),
        (STREAM, {"plain": 1}),
        (STREAM, {"seal": COST | {"status": 1}}),
        (STREAM, {"open": COST | {"memory_kib": 64 * 1024 + 1}}),
    ],
)
def test_each_law_is_broken_by_what_it_forbids(
    run: dict[str, Any], change: dict[str, object]
) -> None:
    assert len(list(laws.broken(run | change, rows=3000))) == 1


KILLED: dict[str, Any] = {
    "rows": 3000,
    "updates": 400,
    "updates_per_second": 198,
    "kills": 10,
    "seal": COST,
    "verify": COST,
    "scrub": COST,
    "open": COST,
    "planned": {"seconds": 2.0, "files": 3 << 20, "log": 6 << 20},
    "taken": {"seconds": 9.0, "files": 2 << 20, "log": 9 << 20},
    "canaries": 3000,
    "canaries_after_verify": 2500,
    "canaries_after_scrub": 0,
    "lost": 0,
    "plain": 0,
    "doubled": 0,
    "not_byte_equal": 0,
}


@pytest.mark.parametrize(
    "change",
    [
        *({one: 1} for one in ("lost", "plain", "doubled", "not_byte_equal")),
        {"canaries_after_scrub": 1},
        {"rows": 2999},
        {"kills": 9},
        {"updates": 0},
        {"canaries": 0},
        {"seal": COST | {"status": 3}},
        {"verify": COST | {"status": 1}},
        {"scrub": COST | {"status": 1}},
        {"open": COST | {"status": 1}},
        {"taken": {"files": (3 << 20) * 1.51, "log": 6 << 20}},
        {"taken": {"files": 3 << 20, "log": (6 << 20) / 1.51}},
    ],
)
def test_each_law_of_a_run_with_kills_is_broken_by_what_it_forbids(
    change: dict[str, object],
) -> None:
    assert list(interrupted.broken(KILLED, rows=3000, kills=10)) == []
    assert len(list(interrupted.broken(KILLED | change, rows=3000, kills=10))) == 1


def test_the_page_shows_what_a_run_with_kills_left_and_took() -> None:
    before = "<!-- migration: begin -->\n<!-- migration: end -->\n"
    written = page.render({"sqlite-killed": found() | {"runs": [KILLED]}}, before)

    assert "| 3,000 | 400, 198 / s | 10 | 0, 0, 0, 0 | 3,000, 2,500, 0 |" in written
    assert "| files | 3.0 MiB | 2.0 MiB | 0.67 |" in written
    assert "| log | 6.0 MiB | 9.0 MiB | 1.50 |" in written
    assert "| seconds | 2.0 s | 9.0 s | 4.50 |" in written


def test_old_values_are_counted_in_files_of_any_depth(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "heap").write_bytes(b"\0" + 3 * clinic.letter(7).encode())
    (tmp_path / "empty").touch()

    assert interrupted.canaries(tmp_path) == 3


MILLION = RUN | {"rows": 1_000_000, "seal": COST | {"seconds": 600.0}}


@pytest.mark.parametrize(
    ("part", "run", "misses"),
    [
        ("pipe", STREAM, 0),
        ("pipe", STREAM | {"values_per_cpu_second": 19_999}, 1),
        ("postgresql", MILLION, 0),
        ("postgresql", MILLION | {"seal": COST | {"seconds": 600.1}}, 1),
        ("postgresql", MILLION | {"updates_per_second": 179}, 1),
        ("postgresql", RUN | {"seal": COST | {"seconds": 3.0}}, 1),
        ("postgresql", MILLION | {"kills": 200, "seal": COST | {"seconds": 700.0}}, 0),
        ("sqlite", MILLION | {"seal": COST | {"seconds": 700.0}}, 0),
    ],
)
def test_a_target_of_time_is_missed(part: str, run: dict[str, Any], misses: int) -> None:
    assert len(list(laws.missed(part, run))) == misses


def test_each_row_that_a_run_has_spoilt_is_found(tmp_path: Path) -> None:
    keyring = a_keyring()
    sid = int(time.time()).to_bytes(4) + secrets.token_bytes(8)

    def sealed(number: int, text: str) -> str:
        bound = clinic.context(number)
        return (
            durable_session(keyring.primary, sid, bound.scope).seal(text.encode(), bound).decode()
        )

    with PLACES["sqlite"](tmp_path) as database:
        database.fill(12)
        with database.connect() as execute:

            def put(number: int, text: str) -> None:
                execute("UPDATE messages SET content = %s WHERE id = %s", (text, number))

            for number in range(1, 13):
                put(number, sealed(number, clinic.letter(number, 2)))
            assert clinic.examine(execute, keyring, 12, dict.fromkeys(range(1, 13), 2)) == (
                clinic.Left(12, 0, 0, 0)
            )
            put(1, clinic.letter(1, 2))
            put(2, sealed(2, sealed(2, clinic.letter(2, 2))))
            put(3, sealed(3, clinic.letter(3, 1)))
            execute("DELETE FROM messages WHERE id = 4", ())
            execute("UPDATE messages SET org = 'other' WHERE id = 5", ())
            execute("INSERT INTO messages SELECT 99, org, conversation, content FROM messages"
                    " WHERE id = 6", ())  # fmt: skip
            found = clinic.examine(execute, keyring, 12, dict.fromkeys(range(1, 13), 2))

    # What is sealed twice is no letter, and so lost as well.
    assert found == clinic.Left(rows=12, plain=1, doubled=2, lost=4)


def test_each_row_that_opening_has_spoilt_is_found(tmp_path: Path) -> None:
    with PLACES["sqlite"](tmp_path) as database:
        database.fill(12)
        with database.connect() as execute:
            assert clinic.changed(execute, 12, {}) == 0
            assert clinic.changed(execute, 12, {7: 1}) == 1
            execute("UPDATE messages SET conversation = 'C1' WHERE id = 3", ())
            assert clinic.changed(execute, 12, {}) == 1
            execute("DELETE FROM messages WHERE id = 4", ())
            assert clinic.changed(execute, 12, {}) == 2


def test_an_application_that_cannot_write_is_an_error() -> None:
    @contextmanager
    def connect() -> Iterator[clinic.Execute]:
        def execute(sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
            raise sqlite3.OperationalError("database is locked")

        yield execute

    with pytest.raises(sqlite3.OperationalError), clinic.Writer(connect, a_keyring(), 10, 100):
        time.sleep(0.05)

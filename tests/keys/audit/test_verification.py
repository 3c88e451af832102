from __future__ import annotations

import hmac
import json
import tempfile
from pathlib import Path
from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import base64url
from proxy.core.errors import UnfitEnvironment
from proxy.keys.audit import head_record, verification
from proxy.keys.audit.head_record import Head
from proxy.keys.audit.line import LineMac, begun, encode, spelled
from proxy.keys.audit.verification import AuditVerdict, verify

from .builders import KEY, NOW, a_log, checked

LINES = 6


@pytest.fixture(scope="module")
def whole() -> tuple[bytes, Head]:
    """Return the bytes of a log of LINES lines, and its head."""
    with tempfile.TemporaryDirectory() as folder:
        log = a_log(Path(folder), LINES - 1)
        head = head_record.load_beside(log.path, KEY)
        assert head is not None
        return log.path.read_bytes(), head


def judged(content: bytes, head: Head | None = None, anchor: Head | None = None) -> AuditVerdict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content)
        return verify((path,), KEY, head=head, anchor=anchor)


def test_a_log_as_it_was_written_is_intact(whole: tuple[bytes, Head]) -> None:
    found = judged(*whole)
    assert (found.broken, found.lines, found.first, found.last.seq) == (0, LINES, 1, LINES)
    assert found.last.mac == whole[1].mac


def test_a_mac_is_that_of_the_page_about_the_form(whole: tuple[bytes, Head]) -> None:
    for text in whole[0].splitlines():
        body, mac = text.removesuffix(b'"}').split(b',"mac":"')
        by_the_library = hmac.digest(KEY.reveal(), b"sealyard/v1/audit/line\0" + body, "sha256")
        assert base64url.encode(by_the_library) == mac


@given(st.data())
def test_any_edit_is_found(whole: tuple[bytes, Head], data: st.DataObject) -> None:
    content, head = whole
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(max_size=3).filter(lambda one: one != content[at : at + 1]))
    changed = content[:at] + new + content[at + 1 :]
    found = judged(changed, head)
    if changed.removesuffix(b"\n") == content.removesuffix(b"\n"):
        assert not found.broken  # the last line feed alone tells nothing
    else:
        line = 1 + content[:at].count(b"\n")
        assert found.broken or found.notes
        assert {one.number for one in found.problems + found.notes} & {line, line + 1}
        assert found.broken


@given(st.permutations(range(LINES)))
def test_any_other_order_is_found(whole: tuple[bytes, Head], order: list[int]) -> None:
    lines = whole[0].splitlines(keepends=True)
    found = judged(b"".join(lines[one] for one in order), whole[1])
    assert bool(found.broken) == (list(order) != sorted(order))


@given(st.sets(st.integers(0, LINES - 1), min_size=1))
def test_any_removal_is_found(whole: tuple[bytes, Head], removed: set[int]) -> None:
    lines = whole[0].splitlines(keepends=True)
    kept = [line for at, line in enumerate(lines) if at not in removed]
    found = judged(b"".join(kept), whole[1])
    begins_later = removed == set(range(len(removed))) and kept
    if begins_later:  # as a rotated log does
        assert not found.broken
        assert f"begins at line {len(removed) + 1}" in found.notes[0].text
    else:
        assert found.broken


@given(st.integers(0, LINES), st.integers(0, LINES - 1))
def test_any_line_that_stands_twice_is_found(
    whole: tuple[bytes, Head], at: int, which: int
) -> None:
    lines = whole[0].splitlines(keepends=True)
    found = judged(b"".join([*lines[:at], lines[which], *lines[at:]]), whole[1])
    assert found.broken


def test_the_first_broken_line_is_told(whole: tuple[bytes, Head]) -> None:
    lines = whole[0].splitlines(keepends=True)
    edited = lines[2].replace(b"k1", b"kX")
    found = judged(b"".join([*lines[:2], edited, *lines[3:]]), whole[1])
    assert str(found.problems[0]).endswith("log:3 was edited or inserted")
    assert "lines 3 to 3 are missing" in found.problems[1].text


@pytest.mark.parametrize("cut", range(1, LINES))
def test_a_cut_at_the_end_shows_against_head_or_anchor(whole: tuple[bytes, Head], cut: int) -> None:
    content, head = whole
    shorter = b"".join(content.splitlines(keepends=True)[:-cut])
    assert (
        f"lines {LINES - cut + 1} to {LINES} are missing" in judged(shorter, head).problems[0].text
    )
    assert judged(shorter, None, Head(head.seq, head.mac)).broken
    blind = judged(shorter)
    assert not blind.broken
    assert "no head record" in blind.notes[0].text


def test_an_anchor_of_another_chain_is_found(whole: tuple[bytes, Head]) -> None:
    head = whole[1]
    assert judged(*whole, Head(head.seq, "A" * 43)).broken
    assert judged(whole[0], Head(head.seq, "A" * 43)).broken
    assert not judged(*whole, Head(head.seq, head.mac)).broken


def test_a_rewritten_log_in_the_form_of_json_is_found(whole: tuple[bytes, Head]) -> None:
    rows = [json.loads(line) for line in whole[0].splitlines()]
    found = judged(b"".join(json.dumps(row).encode() + b"\n" for row in rows), whole[1])
    assert found.broken
    assert found.lines == 0


def test_only_the_first_problems_are_told(whole: tuple[bytes, Head]) -> None:
    lines = whole[0].splitlines(keepends=True)
    found = judged(b"".join([lines[1], lines[0]] * 30), whole[1])
    assert found.broken > len(found.problems) == 20


def test_a_file_that_was_rotated_after_a_crash_is_no_break(tmp_path: Path) -> None:
    log, old = a_log(tmp_path, 3), tmp_path / "old"
    with log.path.open("ab") as file:
        file.write(b'{"seq":5')
    log.path.rename(old)
    log.write(KEY, "keys.add", kek="k9")
    found = checked(log, old)
    assert not found.broken
    assert "torn" in found.notes[0].text


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnfitEnvironment, match="none"):
        verify((tmp_path / "none",), KEY)
    with pytest.raises(UnfitEnvironment, match="none"):
        verification.select((tmp_path / "none",), KEY, lambda _: True)


@pytest.mark.timing
def test_verifying_costs_little_more_than_a_parse_and_a_mac_of_each_line(tmp_path: Path) -> None:
    number, mac, mac_of, log = 100_000, b"", LineMac(KEY), tmp_path / "audit.log"
    members = spelled({"caller": "doctor", "request_id": "a" * 32, "conversation": "b" * 43})
    with log.open("wb") as file:
        for seq in range(1, number + 1):
            line, mac = encode(seq, mac, begun(NOW + seq, "open.attempted") + members, mac_of)
            file.write(line)
    assert verify((log,), KEY, anchor=Head(number, mac.decode())).lines == number
    key = KEY.reveal()

    def least() -> None:
        with log.open("rb") as file:
            for line in file:
                json.loads(line)
                hmac.digest(key, line, "sha256")

    def verified() -> None:
        assert verify((log,), KEY, anchor=Head(number, mac.decode())).broken == 0

    cost, floor = (min(repeat(one, number=1, repeat=3)) for one in (verified, least))
    assert cost < 2.5 * floor  # about 1.2 times; ten seconds for a million lines

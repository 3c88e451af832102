"""Frames: any split gives the same, any change is refused, and nothing is given out unverified."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import sealed_stream, token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.sealed_stream import CHUNK_BYTES
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId
from proxy.core.errors import OpenFailed
from tests.factories import NOW, SCOPE, a_session

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors" / "frames.json"
CONTEXT = Context(SCOPE, kind="stream")
PREFIX_BYTES = 24 + 32
SEALED_CHUNK = CHUNK_BYTES + 16
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7)
Vector = dict[str, Any]


class Opened(NamedTuple):
    media_type: str
    plaintext: bytes


def text_of(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def pieces_of(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    places = [0, *sorted(one % (len(data) + 1) for one in cuts), len(data)]
    for start, end in pairwise(places):
        yield data[start:end]


def seal(plaintext: bytes, cuts: Sequence[int] = (), media_type: str = "text/plain") -> bytes:
    head, sealer = sealed_stream.begin(a_session(), CONTEXT, media_type)
    chunks = [sealer.update(piece) for piece in pieces_of(plaintext, cuts)]
    return b"".join((head, *chunks, sealer.finish()))


def open_with(
    session: Session, data: bytes, cuts: Sequence[int], context: Context, given_out: bytearray
) -> str:
    """Open a frame that comes in pieces, as whoever reads a stream does it."""
    begun = b""
    opener = None
    media_type = ""
    for piece in pieces_of(data, cuts):
        if opener is not None:
            given_out += opener.update(piece)
            continue
        begun += piece
        head = sealed_stream.read_head(begun)
        if head is not None:
            stream = sealed_stream.read_stream(session.open(head.token, context, NOW))
            media_type = stream.media_type
            opener = sealed_stream.opener(head, stream, context)
            given_out += opener.update(begun[len(head.raw) :])
    if opener is None:
        raise OpenFailed("bad-frame")
    given_out += opener.finish()
    return media_type


def open_it(data: bytes, cuts: Sequence[int] = ()) -> Opened:
    given_out = bytearray()
    media_type = open_with(a_session(), data, cuts, CONTEXT, given_out)
    return Opened(media_type, bytes(given_out))


splits = st.lists(st.integers(0, 2**20), max_size=6)
sizes = st.one_of(st.sampled_from(SIZES), st.integers(0, 4 * CHUNK_BYTES))


@given(size=sizes, sealing=splits, opening=splits)
def test_what_is_sealed_opens_however_both_are_split(
    size: int, sealing: list[int], opening: list[int]
) -> None:
    sealed = seal(text_of(size), sealing)
    assert open_it(sealed, opening) == ("text/plain", text_of(size))


@given(size=sizes, cuts=splits)
def test_the_form_of_a_frame_does_not_depend_on_the_split(size: int, cuts: list[int]) -> None:
    """Salt and keys are random, so the lengths are compared: there is one chunking for each."""
    head = sealed_stream.read_head(sealed := seal(text_of(size), cuts))
    assert head is not None
    full = size // CHUNK_BYTES
    last = size % CHUNK_BYTES + 16
    assert len(sealed) == len(head.raw) + PREFIX_BYTES + full * SEALED_CHUNK + last


@given(size=sizes, at=st.integers(0, 2**20), bit=st.integers(0, 7), cuts=splits)
def test_any_bit_that_changes_is_refused(size: int, at: int, bit: int, cuts: list[int]) -> None:
    sealed = bytearray(seal(text_of(size)))
    at %= len(sealed)
    sealed[at] ^= 1 << bit
    assert_refused(bytes(sealed), size, cuts)


@given(size=sizes, end=st.integers(0, 2**20), cuts=splits)
def test_any_cut_is_refused(size: int, end: int, cuts: list[int]) -> None:
    sealed = seal(text_of(size))
    assert_refused(sealed[: end % len(sealed)], size, cuts)


@pytest.mark.parametrize("size", SIZES)
def test_a_cut_at_every_border_is_refused(size: int) -> None:
    sealed = seal(text_of(size))
    head = sealed_stream.read_head(sealed)
    assert head is not None
    chunks = len(head.raw) + PREFIX_BYTES
    for border in (0, 5, 7, len(head.raw), *range(chunks, len(sealed), SEALED_CHUNK)):
        for end in (border - 1, border, border + 1):
            if 0 <= end < len(sealed):
                assert_refused(sealed[:end], size, [])


@given(size=sizes, more=st.binary(min_size=1, max_size=100), cuts=splits)
def test_any_trailing_bytes_are_refused(size: int, more: bytes, cuts: list[int]) -> None:
    assert_refused(seal(text_of(size)) + more, size, cuts)


@given(size=st.integers(2 * CHUNK_BYTES, 4 * CHUNK_BYTES), order=st.permutations(range(5)))
def test_chunks_in_another_order_are_refused(size: int, order: list[int]) -> None:
    sealed = seal(text_of(size))
    head = sealed_stream.read_head(sealed)
    assert head is not None
    start = len(head.raw) + PREFIX_BYTES
    chunks = [sealed[at : at + SEALED_CHUNK] for at in range(start, len(sealed), SEALED_CHUNK)]
    moved = [chunks[at] for at in order if at < len(chunks)]
    if moved != chunks:
        assert_refused(sealed[:start] + b"".join(moved), size, [])


def test_a_chunk_of_another_frame_is_refused() -> None:
    size = 2 * CHUNK_BYTES + 5
    one, other = seal(text_of(size)), seal(text_of(size))
    at = len(one) - 21 - SEALED_CHUNK
    assert_refused(one[:at] + other[at : at + SEALED_CHUNK] + one[at + SEALED_CHUNK :], size, [])


def assert_refused(data: bytes, size: int, cuts: Sequence[int]) -> None:
    given_out = bytearray()
    with pytest.raises(OpenFailed):
        open_with(a_session(), data, cuts, CONTEXT, given_out)
    assert text_of(size).startswith(given_out)
    assert len(given_out) % CHUNK_BYTES == 0


def test_a_chunk_is_given_out_with_its_tag_and_not_before() -> None:
    size = 2 * CHUNK_BYTES + 9
    sealed = seal(text_of(size))
    head = sealed_stream.read_head(sealed)
    assert head is not None
    stream = sealed_stream.read_stream(a_session().open(head.token, CONTEXT, NOW))
    opener = sealed_stream.opener(head, stream, CONTEXT)
    rest = sealed[len(head.raw) :]
    released = [(at, out) for at in range(len(rest)) if (out := opener.update(rest[at : at + 1]))]
    assert released == [
        (PREFIX_BYTES + SEALED_CHUNK - 1, text_of(CHUNK_BYTES)),
        (PREFIX_BYTES + 2 * SEALED_CHUNK - 1, text_of(CHUNK_BYTES)),
    ]
    assert opener.finish() == text_of(9)


def test_nothing_comes_out_after_a_failure_or_the_end() -> None:
    sealed = seal(text_of(100))
    head = sealed_stream.read_head(sealed)
    assert head is not None
    stream = sealed_stream.read_stream(a_session().open(head.token, CONTEXT, NOW))
    rest = sealed[len(head.raw) :]
    broken, ended = (sealed_stream.opener(head, stream, CONTEXT) for _ in range(2))
    with pytest.raises(OpenFailed, match="bad-frame"):
        broken.update(bytes(PREFIX_BYTES))
    ended.update(rest)
    ended.finish()
    for opener in (broken, ended):
        with pytest.raises(OpenFailed, match="bad-frame"):
            opener.update(rest)
        with pytest.raises(OpenFailed, match="bad-frame"):
            opener.finish()


def test_every_frame_has_a_key_of_its_own() -> None:
    heads = [sealed_stream.read_head(seal(b"same")) for _ in range(2)]
    keys = [
        sealed_stream.read_stream(a_session().open(one.token, CONTEXT, NOW)).key
        for one in heads
        if one
    ]
    assert keys[0] != keys[1]


def test_a_frame_is_for_one_context() -> None:
    elsewhere = Context(Scope("clinic", "c1"), message="m2", kind="stream")
    with pytest.raises(OpenFailed, match="wrong-context"):
        open_with(a_session(), seal(b"x"), [], elsewhere, bytearray())


@pytest.mark.parametrize("kind", [None, "body"])
def test_a_frame_s_token_never_opens_as_a_field_or_a_body(kind: str | None) -> None:
    head = sealed_stream.read_head(seal(b"x"))
    assert head is not None
    with pytest.raises(OpenFailed, match="wrong-context"):
        a_session().open(head.token, CONTEXT._replace(kind=kind), NOW)


@pytest.mark.parametrize("cty", [None, "json", "text/plain"])
def test_a_token_of_another_type_begins_no_frame(cty: str | None) -> None:
    sealed = a_session().seal(bytes(32), CONTEXT, cty=cty)
    with pytest.raises(OpenFailed, match="malformed-frame"):
        sealed_stream.read_head(sealed_stream.MAGIC + len(sealed).to_bytes(2) + sealed)


@given(data=st.binary(max_size=60))
def test_the_head_is_found_out_as_early_as_can_be(data: bytes) -> None:
    if data.startswith(sealed_stream.MAGIC) or sealed_stream.MAGIC.startswith(data):
        return
    with pytest.raises(OpenFailed, match="not-a-frame"):
        sealed_stream.read_head(data)


def test_the_longest_head_fits_and_a_longer_one_is_not_waited_for() -> None:
    longest = KeyId(bytes(12), kek_id="k" * 32)
    head = token.encode_header(longest, bytes(32), sealed_stream.CTY_STREAM_KEY, 999_999_999_999)
    needed = token.jwe_length(head, 32 + token.CTY_BYTES)
    assert needed == 506
    assert sealed_stream.read_head(sealed_stream.MAGIC + (1024).to_bytes(2) + bytes(1023)) is None
    assert len(sealed_stream.MAGIC) + 2 + 1024 == sealed_stream.HEAD_MAX
    with pytest.raises(OpenFailed, match="malformed-frame"):
        sealed_stream.read_head(sealed_stream.MAGIC + (1025).to_bytes(2))


# --- frozen vectors -------------------------------------------------------------------------------


@cache
def document() -> Vector:
    loaded: Vector = json.loads(VECTORS.read_text())
    return loaded


MUST_OPEN: list[Vector] = document()["must_open"]
MUST_FAIL = [(vector, failure) for vector in MUST_OPEN for failure in vector["must_fail"]]
EVERY_CUT: tuple[list[int], ...] = ([], [1], [7, 300, 700], list(range(0, 60000, 997)))


def context_of(vector: Vector) -> Context:
    parts = vector["context"]
    return Context(Scope(parts["tenant"], parts["conversation"]), kind=parts["kind"])


def session_of(vector: Vector) -> Session:
    key = SessionKey(bytes.fromhex(vector["sk"]))
    sid = bytes.fromhex(vector["sid"])
    kek_id = vector.get("kek_id")
    return Session(key, sid=sid, scope=context_of(vector).scope, kek_id=kek_id)


def open_vector(vector: Vector, data: bytes, cuts: list[int], given_out: bytearray) -> str:
    return open_with(session_of(vector), data, cuts, context_of(vector), given_out)


def altered(vector: Vector, failure: Vector) -> bytes:
    good = base64.b64decode(vector["frame"])
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else good[piece[0] : piece[1]]
        for piece in failure["pieces"]
    )


@pytest.mark.parametrize("cuts", EVERY_CUT, ids=len)
@pytest.mark.parametrize("vector", MUST_OPEN, ids=lambda one: one["name"])
def test_a_frozen_frame_opens(vector: Vector, cuts: list[int]) -> None:
    assert vector["context_hex"] == context_of(vector).encode().hex()
    given_out = bytearray()
    media_type = open_vector(vector, base64.b64decode(vector["frame"]), cuts, given_out)
    assert vector["media_type"] == media_type
    assert base64.b64decode(vector["plaintext"]) == given_out


# No frame that Sealyard makes expires yet; one that does opens all the same.
@pytest.mark.parametrize(
    "vector", [one for one in MUST_OPEN if one["name"] != "expires"], ids=lambda one: one["name"]
)
def test_a_frozen_head_is_made_again_from_the_same_key_and_iv(
    vector: Vector, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter((vector["stream_key"], vector["iv"]))
    monkeypatch.setattr("os.urandom", lambda size: bytes.fromhex(next(drawn))[:size])
    head, _ = sealed_stream.begin(session_of(vector), context_of(vector), vector["media_type"])
    assert base64.b64decode(vector["frame"])[: vector["head_bytes"]] == head


@pytest.mark.no_cover
@pytest.mark.parametrize("cuts", EVERY_CUT, ids=len)
@pytest.mark.parametrize(
    ("vector", "failure"),
    MUST_FAIL,
    ids=[f"{vector['name']}, {failure['name']}" for vector, failure in MUST_FAIL],
)
def test_a_frozen_failure_fails_for_its_reason(
    vector: Vector, failure: Vector, cuts: list[int]
) -> None:
    given_out = bytearray()
    with pytest.raises(OpenFailed) as caught:
        open_vector(vector, altered(vector, failure), cuts, given_out)
    assert failure["reason"] == caught.value.reason
    assert len(given_out) <= failure["opened"]
    assert base64.b64decode(vector["plaintext"]).startswith(given_out)


@pytest.mark.parametrize("vector", document()["made_wrong"], ids=lambda one: one["name"])
def test_a_frame_that_was_made_wrong_is_refused(vector: Vector) -> None:
    given_out = bytearray()
    with pytest.raises(OpenFailed) as caught:
        open_vector(vector, base64.b64decode(vector["frame"]), [], given_out)
    assert vector["reason"] == caught.value.reason
    assert not given_out


def test_the_generator_refuses_to_overwrite_frozen_vectors() -> None:
    before = VECTORS.read_bytes()
    made = subprocess.run(
        [sys.executable, "-m", "tests.vectors.make_frames"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert made.returncode == 1
    assert "frozen" in made.stderr
    assert before == VECTORS.read_bytes()

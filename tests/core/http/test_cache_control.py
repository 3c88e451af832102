"""No shared cache keeps what was opened, whatever the backend says and however it spells it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.cache_control import (
    directives,
    for_its_client,
    for_own_cache,
    speaks_to_caches,
)
from proxy.core.http.message import HeadFacts

NEVER = b"private, no-store"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ((b"private",), b"private"),
        ((b"Private, MAX-AGE=60, Must-Revalidate",), b"private, max-age=60, must-revalidate"),
        ((b"private", b"max-age=60"), b"private, max-age=60"),
        ((b" ,private,, max-age=60 ,",), b"private, max-age=60"),
        ((b'private, no-cache="set-cookie"',), b"private, no-cache"),
        ((b'private, max-age="60", x-own="a, public"',), b"private, max-age=60"),
        ((b"private, stale-if-error=5, proxy-revalidate",), b"private, stale-if-error=5"),
        ((b"private, immutable",), b"private, immutable"),
        ((b"private, private, max-age=0, max-age=0",), b"private, max-age=0"),
        ((), NEVER),
        ((b"",), NEVER),
        ((b"no-cache",), NEVER),
        ((b"max-age=60",), NEVER),
        ((b'private="set-cookie"',), NEVER),
        ((b'private=""',), NEVER),
        ((b"private=x",), NEVER),
        ((b'private, private="set-cookie"',), NEVER),
        ((b"public, private",), NEVER),
        ((b"private, s-maxage=60",), NEVER),
        ((b"private, no-store",), NEVER),
        ((b"private, no-store, must-understand",), NEVER),
        ((b"private, max-age=60, max-age=600",), NEVER),
        ((b"private, max-age",), NEVER),
        ((b"private, max-age=-1",), NEVER),
        ((b"private, max-age = 60",), NEVER),
        ((b'private, x="',), NEVER),
        ((b"private; max-age=60",), NEVER),
        ((b"private, \xff",), NEVER),
        ((b"private max-age=60",), NEVER),
    ],
)
def test_its_client_keeps_what_the_backend_gave_to_it_beyond_doubt(
    said: tuple[bytes, ...], left: bytes
) -> None:
    assert for_own_cache(said, expires=False) == left


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (b"private", b"private, no-cache"),
        (b"private, max-age=5", b"private, max-age=5"),
        (b"private, no-cache", b"private, no-cache"),
        (b"public", NEVER),
    ],
)
def test_a_client_does_not_guess_where_a_time_was_told(said: bytes, left: bytes) -> None:
    told = HeadFacts(((b"Expires", b"0"), (b"Cache-Control", said)))

    assert for_its_client(told, as_it_is=False) == left


def test_what_nobody_may_recode_stays_so() -> None:
    told = HeadFacts(((b"Cache-Control", b"No-Transform"),))

    for as_it_is in (False, True, False):  # what is found for a head is kept with it
        assert for_its_client(told, as_it_is=as_it_is) == NEVER + b", no-transform"
    assert for_its_client(HeadFacts(()), as_it_is=True) == NEVER + b", no-transform"


@pytest.mark.parametrize(
    "name",
    [
        b"cache-control",
        b"cache_control",
        b"expires",
        b"x-accel-expires",
        b"surrogate-control",
        b"x-surrogate-control",
        b"edge-control",
        b"cdn-cache-control",
        b"cloudflare-cdn-cache-control",
        b"vercel-cdn-cache-control",
        b"akamai-cache-control",
        b"x-litespeed-cache-control",
        b"x-lsadc-cache-control",
        b"x-reverse-proxy-ttl",
        b"x-varnish-ttl",
        b"edge-cache-max-age",
        b"x-reproxy-cache-for",
        b"x-ttl",
    ],
)
def test_whatever_tells_a_cache_to_keep_it_is_known(name: bytes) -> None:
    assert speaks_to_caches(name)


@pytest.mark.parametrize(
    "name",
    [
        b"access-control-max-age",
        b"age",
        b"cache-status",
        b"content-type",
        b"etag",
        b"pragma",
        b"surrogate-key",
        b"vary",
        b"x-accel-buffering",
        b"x-cache",
        b"x-forwarded-for",
        b"x-frame-options",
        b"x-proxy-for",
        b"x-session-expires",
        b"x-token-ttl",
    ],
)
def test_nothing_else_is_taken_for_it(name: bytes) -> None:
    assert not speaks_to_caches(name)


# What lax readers in front of Sealyard may make of a line; each tells whether it may keep it.
def _splits(line: bytes) -> bool:
    words = {one.strip().lower() for one in line.split(b",")}
    return words.isdisjoint({b"private", b"no-store"})


def _searches(line: bytes) -> bool:
    return re.search(rb"private|no-store", line, re.IGNORECASE) is None


def _minds_case(line: bytes) -> bool:
    return b"private" not in line


def _takes_the_first(line: bytes) -> bool:
    return line.split(b",")[0].strip() != b"private"


def _honours_what_is_for_all(line: bytes) -> bool:
    return re.search(rb"public|s-maxage|must-understand", line, re.IGNORECASE) is not None


READERS: tuple[Callable[[bytes], bool], ...] = (
    _splits,
    _searches,
    _minds_case,
    _takes_the_first,
    _honours_what_is_for_all,
)
WORDS = st.sampled_from(
    [
        *(b"private", b"PRIVATE", b'private="x"', b"private=", b"public", b"Public", b"no-store"),
        *(b"max-age=60", b'max-age="60"', b"s-maxage=60", b"must-understand", b"no-cache", b"="),
        *(b'"', b'x="a, private"', b'x="public', b"\t", b"", b"\xa0private", b"stale-if-error=9"),
        *(b"max-age=60;private", b"no-transform", b"immutable", b"'private'", b"private public"),
    ]
)
LINES = st.lists(
    st.builds(
        bytes.join, st.sampled_from([b",", b", ", b" ,\t", b" ", b";"]), st.lists(WORDS, max_size=6)
    )
    | st.binary(max_size=20),
    max_size=3,
).map(tuple)


@given(lines=LINES, expires=st.booleans())
def test_no_reader_takes_what_is_left_for_a_leave_to_keep_it(
    lines: tuple[bytes, ...], *, expires: bool
) -> None:
    left = for_own_cache(lines, expires=expires)

    assert not any(keeps(left) for keeps in READERS), (lines, left)
    assert directives((left,)) is not None
    # What is left is as strict as what was said.
    if left != NEVER:
        said = directives(lines)
        assert said is not None
        assert said[b"private"] is None
        assert {b"public", b"s-maxage", b"no-store"}.isdisjoint(said)
        assert b"no-cache" not in said or b"no-cache" in left

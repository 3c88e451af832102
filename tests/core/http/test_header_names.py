"""What the names of headers decide is as if it were read off each head anew, and is bounded."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.core import policy
from proxy.core.http import header_names
from proxy.core.http.header_names import HeaderNames, names_in, names_of
from proxy.core.http.message import Headers

NAMES = st.sampled_from([b"Host", b"HOST", b"x-a", b"X-A", b"x_a", b"X.a", b"Content-Type"])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=3)), max_size=6).map(tuple)


@given(HEADERS, NAMES)
def test_names_and_values_are_those_of_the_head(headers: Headers, name: bytes) -> None:
    names, low = names_in(headers), name.lower()
    assert names.lows == tuple(each.lower() for each, _ in headers)
    assert (low in names.places) is any(each.lower() == low for each, _ in headers)
    assert names.values_in(headers, low) == [
        value for each, value in headers if each.lower() == low
    ]
    assert names.standing(frozenset({low, b"x-other"})) == (
        ((low, names.places[low]),) if low in names.places else ()
    )
    assert names.odd is any(re.search(rb"[^0-9A-Za-z-]", each) for each, _ in headers)


def test_what_names_decide_is_worked_out_once_for_them() -> None:
    asked = []

    def decide(names: HeaderNames) -> int:
        asked.append(names)
        return len(names.lows)

    first = names_in(((b"Host", b"a"), (b"Once", b"b")))
    again = names_in(((b"host", b"c"), (b"ONCE", b"d")))

    assert first[decide] == again[decide] == 2
    assert asked == [first]


def test_few_and_short_names_are_kept() -> None:
    long = b":" + b"a" * policy.KEPT_HEAD_BYTES
    assert names_of(long) is not names_of(long)
    for number in range(2 * policy.KEPT_HEADS):
        names_of(b":x-%d" % number)
    assert header_names._kept.cache_info().currsize == policy.KEPT_HEADS

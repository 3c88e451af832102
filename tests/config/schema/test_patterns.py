"""The patterns of durations and sizes match what the reader takes, and nothing else."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.config.declared.kinds import BYTES, DAY, HOUR, MILLISECONDS, Duration, Kind, Size
from proxy.config.schema import patterns
from proxy.config.yaml.nodes import Place, Position, Problems, Scalar

_UNITS = st.sampled_from([*MILLISECONDS, *BYTES, "", "x"])
_DIGITS = st.from_regex(r"0{0,3}[0-9]{1,11}|[0-9]{1,4}", fullmatch=True)
_WRITTEN = st.builds(
    "".join,
    st.tuples(_DIGITS, st.from_regex(r"(\.[0-9]{0,7})?", fullmatch=True), _UNITS),
)
_BOUNDS = st.builds(
    Duration,
    high=st.sampled_from([30.0, HOUR, DAY, 366 * DAY]) | st.integers(10, 10**7).map(float),
    low=st.sampled_from([0.0, 1.0, 0.25, 7.0]),
    zero=st.booleans(),
)


def _is_read(kind: Kind, written: str) -> bool:
    place = Place(Scalar(Position(1, 1), written, "text", written), "a")
    return kind.read(place, Problems("f")) is not None


def _near(kind: Duration, unit: str, off: int) -> str:
    """Return a bound in a unit, some millionths of it above or below."""
    bound = kind.low if kind.low and off % 2 else kind.high
    whole, fraction = divmod(max(int(bound * 1e9 / MILLISECONDS[unit]) + off, 0), 10**6)
    return f"{whole}.{fraction:06}{unit}"


@given(_BOUNDS, _WRITTEN)
@example(Duration(high=DAY), "25h")
@example(Duration(high=DAY), "24h")
@example(Duration(high=DAY), "0s")
@example(Duration(high=DAY), "0000000000001s")
def test_durations(kind: Duration, written: str) -> None:
    assert bool(re.fullmatch(patterns.of_duration(kind), written)) == _is_read(kind, written)


@given(_BOUNDS, st.sampled_from([*MILLISECONDS]), st.integers(-3, 3))
def test_durations_at_their_bounds(kind: Duration, unit: str, off: int) -> None:
    written = _near(kind, unit, off)

    assert bool(re.fullmatch(patterns.of_duration(kind), written)) == _is_read(kind, written)


@given(st.builds(Size, st.none() | st.integers(1, 10**12)), _WRITTEN)
@example(Size(), "0KiB")
@example(Size(65536), "65KiB")
@example(Size(65536), "64KiB")
def test_sizes(kind: Size, written: str) -> None:
    assert bool(re.fullmatch(patterns.of_size(kind), written)) == _is_read(kind, written)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers(most: int, number: int) -> None:
    assert bool(re.fullmatch(patterns.at_most(most), str(number))) == (number <= most)

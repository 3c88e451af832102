"""Regular expressions, for the JSON Schema, of durations and sizes within bounds."""

from __future__ import annotations

from math import ceil, floor

from ..declared.kinds import BYTES, MILLISECONDS, Duration, Size

_ANY_FRACTION = r"(?:\.[0-9]{1,6})?"


def of_duration(kind: Duration) -> str:
    """Return what exactly the durations within the bounds match."""
    ways = []
    for unit, milliseconds in MILLISECONDS.items():
        # In millionths of the unit, which are the smallest that can be written.
        most = floor(kind.high * 1e9 / milliseconds)
        least = ceil(kind.low * 1e9 / milliseconds)
        if most:
            ways.append(f"{_not_below(least)}{_decimal(most)}{unit}")
    positive = "" if kind.low or kind.zero else r"(?![0.]+[a-z])"
    return rf"{positive}(?=[0-9]{{1,12}}(?![0-9]))(?:{'|'.join(ways)})"


def of_size(kind: Size) -> str:
    """Return what exactly the sizes within the bounds match."""
    if kind.high is None:
        return rf"(?!0+[A-Z])[0-9]{{1,12}}(?:{'|'.join(BYTES)})"
    ways = (f"{at_most(kind.high // size)}{unit}" for unit, size in BYTES.items())
    return rf"(?!0+[A-Z])(?=[0-9]{{1,12}}[A-Z])(?:{'|'.join(ways)})"


def at_most(number: int) -> str:
    """Return what matches whole numbers up to `number`, with zeros before them or without."""
    return f"0*(?:{'|'.join(_digits_up_to(str(number)))})"


def _digits_up_to(digits: str) -> list[str]:
    """Return ways to write a number without zeros before it that is not above `digits`."""
    ways = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for at, digit in enumerate(digits):
        lowest = 1 if at == 0 and len(digits) > 1 else 0
        if int(digit) > lowest:
            rest = len(digits) - at - 1
            ways.append(f"{digits[:at]}{_digit(lowest, int(digit) - 1)}{'[0-9]' * rest}")
    return [*ways, digits]


def _digit(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"[{lowest}-{highest}]"


def _decimal(millionths: int) -> str:
    """Return what matches decimals up to a number of millionths."""
    whole, fraction = divmod(millionths, 1_000_000)
    same = f"0*{whole}(?:\\.{_fraction_up_to(f'{fraction:06}')})?"
    return f"(?:{at_most(whole - 1)}{_ANY_FRACTION}|{same})" if whole else same


def _fraction_up_to(digits: str) -> str:
    """Return what matches the digits after a point, one at least, up to `digits`."""
    if not digits.strip("0"):
        return f"0{{1,{len(digits)}}}"
    digit, rest = int(digits[0]), digits[1:]
    ways = [f"{_digit(0, digit - 1)}[0-9]{{0,{len(rest)}}}"] if digit else []
    return (
        f"(?:{'|'.join([*ways, f'{digit}(?:{_fraction_up_to(rest)})?' if rest else f'{digit}'])})"
    )


def _not_below(millionths: int) -> str:
    """Return what refuses decimals below a number of millionths, up to the unit."""
    whole, fraction = divmod(millionths, 1_000_000)
    if not millionths:
        return ""
    below = _decimal(millionths - 1) if fraction else at_most(whole - 1) + _ANY_FRACTION
    return f"(?!{below}[a-z])"

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.crypto import shamir

# draft-mcgrew-tss-03, section 9: a secret of 5 bytes, threshold 2; index and value of both shares.
TSS = ("7465737400", {1: "B9FA07E185", 2: "F5409B4511"})

FROZEN = {
    1: "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafb3c3d3e3f",
    2: "eee9e0e7c2c5cccbd6d1d8df9a9d94939e999097b2b5bcbba6a1a8afb1b6bfb8",
    3: "0e09000722252c2b3631383f7a7d74737e79707752555c5b4641484f91969f98",
}
"""Our own split of bytes 0 to 31, with the coefficients of `counted`; three are needed."""


def counted() -> Callable[[int], bytes]:
    """Return a source of bytes that count from 100."""
    numbers = itertools.count(100)
    return lambda size: bytes(next(numbers) % 256 for _ in range(size))


def given_bytes(drawn: tuple[int, ...]) -> Callable[[int], bytes]:
    """Return a source of one byte at a time: these."""
    left = iter(drawn)
    return lambda _: bytes([next(left)])


def test_the_published_shares_give_the_published_secret() -> None:
    secret, shares = TSS
    assert shamir.combine({at: bytes.fromhex(one) for at, one in shares.items()}).hex() == secret


def test_the_published_shares_come_of_their_coefficient() -> None:
    secret, shares = (bytes.fromhex(TSS[0]), TSS[1])
    slope = bytes(a ^ b for a, b in zip(secret, bytes.fromhex(shares[1]), strict=True))

    made = shamir.split(secret, 2, 2, lambda _: slope)
    assert {at: one.hex().upper() for at, one in made.items()} == shares


@pytest.mark.parametrize(
    ("a", "b", "product"),
    # FIPS 197, section 4.2 and 4.2.1; then the neutral elements.
    [
        (0x57, 0x83, 0xC1),
        (0x57, 0x13, 0xFE),
        (0x57, 0x02, 0xAE),
        (0x57, 0x04, 0x47),
        (0x57, 0x08, 0x8E),
        (0x57, 0x10, 0x07),
        (1, 0xAB, 0xAB),
        (0, 0xAB, 0),
    ],
)
def test_the_field_is_that_of_aes(a: int, b: int, product: int) -> None:
    # The share at index `a` of the secret 0 with the slope `b` is their product.
    if a:
        assert shamir.split(b"\0", 2, 255, lambda _: bytes([b]))[a] == bytes([product])
    if b:
        assert shamir.split(b"\0", 2, 255, lambda _: bytes([a]))[b] == bytes([product])


def test_a_frozen_split_stays_as_it_is() -> None:
    made = shamir.split(bytes(range(32)), 3, 3, counted())
    assert {at: one.hex() for at, one in made.items()} == FROZEN


@given(
    secret=st.binary(min_size=1, max_size=33),
    numbers=st.tuples(st.integers(2, 6), st.integers(0, 4)),
)
@settings(max_examples=25)
def test_any_k_shares_open_and_more_do_too(secret: bytes, numbers: tuple[int, int]) -> None:
    needed, made = numbers[0], sum(numbers)
    shares = shamir.split(secret, needed, made, os.urandom)

    assert list(shares) == list(range(1, made + 1))
    for size in range(needed, made + 1):
        for chosen in itertools.combinations(shares, size):
            assert shamir.combine({at: shares[at] for at in chosen}) == secret


def test_indices_up_to_the_last_are_used() -> None:
    shares = shamir.split(b"secret", 2, 255, os.urandom)
    assert all(shamir.combine({1: shares[1], at: shares[at]}) == b"secret" for at in range(2, 256))


@pytest.mark.parametrize("steps", [(), range(0, 256, 37)], ids=["2 shares", "3 shares"])
def test_fewer_shares_are_distributed_alike_for_every_secret(steps: Sequence[int]) -> None:
    """Over all coefficients, k - 1 shares take each of their values once, whatever the secret.

    With 3 shares, over all first coefficients for each of some second ones.
    """
    needed = 3 if steps else 2
    for secret in (0, 0xC5):
        seen: Counter[tuple[int, ...]] = Counter()
        for drawn in itertools.product(range(256), steps or (0,)):
            shares = shamir.split(bytes([secret]), needed, needed, given_bytes(drawn))
            seen[tuple(shares[at][0] for at in range(1, needed))] += 1
        assert set(seen.values()) == {1}
        assert len(seen) == 256 * len(steps or (0,))


def test_two_of_three_shares_open_to_every_secret_alike() -> None:
    """To k - 1 shares, each value of the missing one gives another secret: all 256 are possible."""
    shares = shamir.split(b"s", 3, 3, os.urandom)
    opened = {shamir.combine({**shares, 3: bytes([guess])}) for guess in range(256)}
    assert len(opened) == 256


def test_shares_of_random_splits_are_uniform() -> None:
    """2,560 shares of one secret: each value about 10 times (chi squared, 255 degrees)."""
    made = shamir.split(b"\x42" * 2560, 3, 3, os.urandom)[2]
    seen = Counter(made)
    squared = sum((seen[value] - 10) ** 2 / 10 for value in range(256))
    assert 120 < squared < 440  # outside it: less than once in a hundred million runs


@pytest.mark.parametrize(("needed", "made"), [(1, 3), (0, 0), (4, 3), (2, 256)])
def test_other_numbers_are_refused(needed: int, made: int) -> None:
    with pytest.raises(ValueError, match="split"):
        shamir.split(b"secret", needed, made, os.urandom)


@pytest.mark.parametrize("shares", [{}, {0: b"a"}, {256: b"a"}, {1: b"a", 2: b"ab"}])
def test_what_is_no_set_of_shares_is_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="shares"):
        shamir.combine(shares)

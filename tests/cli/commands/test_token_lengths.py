from __future__ import annotations

import pytest

from proxy.cli.commands.inspect import Capacity, Length, capacity, head_of, length

HEAD = head_of("k1")


@pytest.mark.parametrize(
    ("size", "jwe", "short"), [(20, 203, 88), (1024, 1542, 1427)], ids=["20 bytes", "1 KiB"]
)
def test_lengths_are_those_of_the_wire_format(size: int, jwe: int, short: int) -> None:
    assert length(size, HEAD) == Length(size, jwe, short)


def test_a_column_of_255_characters_holds_145_bytes_or_59() -> None:
    assert capacity(255, HEAD) == Capacity(255, 59, 145)


@pytest.mark.parametrize(("characters", "short"), [(61, None), (62, 0)])
def test_a_column_may_be_too_narrow_for_anything(characters: int, short: int | None) -> None:
    assert capacity(characters, HEAD) == Capacity(characters, None, short)

"""Masks, by the definition of RFC 6455 section 5.3: each octet with one of the mask's, in turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.leaves import masking, masks

SIZES = [0, 300, 1012, 1020, 4096]
"""In Python by integers below 1024 bytes, by a table from there on."""


@given(
    st.binary(max_size=20), st.sampled_from(SIZES), st.binary(min_size=4, max_size=4), st.booleans()
)
def test_each_byte_is_under_its_part_of_the_mask(
    end: bytes,
    more: int,
    mask: bytes,
    reference: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    function = masks.masking if reference else masking
    data = bytes(one % 251 for one in range(more)) + end
    masked = function(data, mask)
    assert masked == bytes(one ^ mask[at % 4] for at, one in enumerate(data))
    assert function(masked, mask) == data


@pytest.mark.parametrize("function", [masking, masks.masking])
@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_mask_has_four_bytes(function: Callable[[bytes, bytes], bytes], size: int) -> None:
    with pytest.raises(ValueError, match="a mask has 4 bytes"):
        function(b"data", bytes(size))

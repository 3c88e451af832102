from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.demo.screen import search

TEXT = "Grüße, canary 4711 & more"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        json.dumps({"a": TEXT}).encode(),
        TEXT.encode().hex().encode(),
        TEXT.encode().hex().upper().encode(),
        quote(TEXT).encode(),
        TEXT.encode("utf-16-le"),
    ],
)
def test_a_text_is_found_however_it_is_spelled(content: bytes) -> None:
    assert search(TEXT, {"place": b"before " + content + b" behind"})


@given(st.binary(max_size=7), st.binary(max_size=7))
def test_a_text_is_found_in_base64_at_any_offset(before: bytes, behind: bytes) -> None:
    content = before + TEXT.encode() + behind
    assert search(TEXT, {"place": base64.b64encode(content)})
    assert search(TEXT, {"place": base64.urlsafe_b64encode(content)})


def test_what_is_not_there_is_not_found() -> None:
    assert search(TEXT, {"place": b"canary 4712", "empty": b""}) == []

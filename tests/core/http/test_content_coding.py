from __future__ import annotations

import contextlib
import gzip
import importlib
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import BodyTooLarge, InvalidBody, SealyardError, UnsupportedBody
from proxy.core.http.content_coding import coding_of, decode
from proxy.core.http.message import HeadFacts

MEBIBYTE = 1024 * 1024
ZSTD: Any = importlib.import_module("zstandard")
BROTLI: Any = importlib.import_module("brotli")


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(BROTLI.compress, quality=3),  # by its own choice, a bomb takes half a minute
    "zstd": ZSTD.ZstdCompressor().compress,
}

each_coding = pytest.mark.parametrize("coding", ENCODERS)


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], None),
        ([b""], None),
        ([b"identity"], None),
        ([b"GZip"], "gzip"),
        ([b" x-gzip "], "x-gzip"),
        ([b"identity", b"br"], "br"),
        ([b"deflate,"], "deflate"),
        ([b"none"], None),
        ([b"None"], None),
        ([b"IDENTITY"], None),
        ([b"\tIdentity ,"], None),
        ([b'"identity"'], None),
        ([b"identity;q=1"], None),
        ([b"identity ; q=1.0, none"], None),
        ([b"none", b"gzip"], "gzip"),
        ([b'" none "'], None),
    ],
)
def test_the_one_coding(values: list[bytes], coding: str | None) -> None:
    assert coding == coding_of(HeadFacts(tuple((b"Content-Encoding", one) for one in values)))


@pytest.mark.parametrize(
    "values",
    [
        [b"gzip", b"gzip"],
        [b"gzip, br"],
        [b"compress"],
        [b"\xff"],
        [b"nonesuch"],
        [b'"gzip"'],
        [b"gzip;q=1"],
        [b"no ne"],
    ],
)
def test_several_codings_and_strange_ones_are_refused(values: list[bytes]) -> None:
    with pytest.raises(UnsupportedBody):
        coding_of(HeadFacts(tuple((b"content-encoding", one) for one in values)))


@each_coding
@given(data=st.binary(max_size=5000))
def test_what_was_coded_comes_back(coding: str, data: bytes) -> None:
    assert data == decode(ENCODERS[coding](data), coding, MEBIBYTE)


@pytest.mark.parametrize("size", [65_500, 65_536, 65_560, 200_000])
def test_streams_and_members_may_end_wherever_they_like(size: int) -> None:
    data = bytes(range(256)) * 1000
    member = gzip.compress(data[:size], compresslevel=0)  # as long as its data
    assert decode(member * 3, "gzip", 4 * MEBIBYTE) == data[:size] * 3
    assert decode(raw_deflate(data), "deflate", MEBIBYTE) == data
    with pytest.raises(InvalidBody, match="coding-cut"):
        decode((member * 3)[:-1], "gzip", 4 * MEBIBYTE)
    with pytest.raises(BodyTooLarge):
        decode(member * 3, "gzip", 3 * size - 1)


@given(data=st.binary(max_size=500))
def test_deflate_may_lack_its_frame(data: bytes) -> None:
    assert data == decode(raw_deflate(data), "deflate", MEBIBYTE)


@each_coding
def test_a_body_may_be_as_large_as_the_limit_and_no_larger(coding: str) -> None:
    coded = ENCODERS[coding](b"x" * 1000)

    assert decode(coded, coding, 1000) == b"x" * 1000
    with pytest.raises(BodyTooLarge):
        decode(coded, coding, 999)


@each_coding
def test_a_cut_body_is_refused(coding: str) -> None:
    coded = ENCODERS[coding](b"some text, some text")

    for end in range(1, len(coded)):
        with pytest.raises(InvalidBody):
            decode(coded[:end], coding, MEBIBYTE)


@each_coding
def test_bytes_behind_the_body_are_refused(coding: str) -> None:
    with pytest.raises(InvalidBody):
        decode(ENCODERS[coding](b"x") + b"tail", coding, MEBIBYTE)


@each_coding
def test_noise_is_refused(coding: str) -> None:
    with pytest.raises(InvalidBody):
        decode(b"\x07\xffnoise", coding, MEBIBYTE)


@each_coding
@given(data=st.binary(min_size=1, max_size=300))
def test_whatever_comes_is_decoded_or_refused(coding: str, data: bytes) -> None:
    with contextlib.suppress(SealyardError):
        decode(data, coding, 10_000)


@pytest.mark.no_cover
@each_coding
def test_a_bomb_is_refused_in_little_memory(coding: str) -> None:
    bomb = ENCODERS[coding](bytes(256 * MEBIBYTE))
    tracemalloc.start()

    with pytest.raises(BodyTooLarge):
        decode(bomb, coding, 1024 * MEBIBYTE)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 100 * max(len(bomb), MEBIBYTE / 100) + 16 * MEBIBYTE


@each_coding
def test_a_mebibyte_may_unfold_from_very_little(coding: str) -> None:
    assert decode(ENCODERS[coding](bytes(MEBIBYTE)), coding, 2 * MEBIBYTE) == bytes(MEBIBYTE)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_ten_members_are_one_body(coding: str) -> None:
    member = ENCODERS[coding](b"x")

    assert decode(member * 10, coding, MEBIBYTE) == b"x" * 10
    for count in (11, 100_000):
        with pytest.raises(InvalidBody):
            decode(member * count, coding, MEBIBYTE)


def test_a_zstd_window_that_is_too_large_is_refused() -> None:
    parameters = ZSTD.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = ZSTD.ZstdCompressor(compression_params=parameters).compressobj()
    coded = compressor.compress(b"x" * 1000) + compressor.flush()

    with pytest.raises(InvalidBody):
        decode(coded, "zstd", MEBIBYTE)


@pytest.mark.parametrize(("coding", "package"), [("br", "brotli"), ("zstd", "zstandard")])
def test_a_coding_whose_package_is_missing_is_unsupported(
    coding: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = ENCODERS[coding](b"x")
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(UnsupportedBody) as caught:
        decode(coded, coding, MEBIBYTE)

    assert caught.value.detail == f"The Python package {package} is not installed."

"""A filename in Content-Disposition is found, and another is spelled so that all read it alike."""

from __future__ import annotations

import email.message
import email.policy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import OpenFailed
from proxy.core.http.content_disposition import FileDisposition, read

# RFC 6266 section 5, and what servers send.
FOUND = {
    b'Attachment; filename="example.html"': b"example.html",
    b'INLINE; FILENAME= "an example.html"': b"an example.html",
    b"attachment; filename=a.txt": b"a.txt",
    b"attachment; filename*= UTF-8''%e2%82%ac%20rates": "\u20ac rates".encode(),
    b"attachment; filename=\"a b\"; filename*=utf-8''a%20b": b"a b",
    b"attachment;filename=a;filename*=UTF-8''a; size=3 ;": b"a",
    b'attachment ; size=3 ; filename = "a\\"b\\\\c" ': b'a"b\\c',
    b'attachment; filename="=?utf-8?q?a?="': b"a",
    b'form-data; name="f"; filename="x;filename=y"': b"x;filename=y",
    'attachment; filename="\u00e9"'.encode(): "\u00e9".encode(),
}
NOT_FOUND = [
    b"",
    b"attachment",
    b'attachment; name="a"',
    b"attachment; filename=a; filename=a",
    b"attachment; filename=a; FileName=b",
    b"attachment; filename=a; filename*=UTF-8''b",
    b"attachment; filename*0=a; filename*1=b",
    b"attachment; filename=a; filename*0=a",
    b"attachment; filename*=a",
    b"attachment; filename*=UTF-8''%ff",
    b"attachment; filename=a b",
    b'attachment; filename="a',
    b'attachment; filename="a"b',
    b"attachment; filename=",
    b"attachment filename=a",
    b"filename=a",
    b'attachment; filename="a", attachment; filename="b"',
    b'attachment; filename="=?utf-8?q?=ff?="',
    b'attachment; filename="a\x00"',
]


@pytest.mark.parametrize(("value", "filename"), FOUND.items())
def test_a_filename_is_found(value: bytes, filename: bytes) -> None:
    found = read(value)
    assert found is not None
    assert found.filename == filename


@pytest.mark.parametrize("value", NOT_FOUND)
def test_what_has_no_filename_or_several_readings_has_none(value: bytes) -> None:
    assert read(value) is None


SPELLED = {
    "report.pdf": b'filename="report.pdf"',
    "a b (1).txt": b'filename="a b (1).txt"',
    "r\u00e9sum\u00e9.pdf": b"filename=\"r_sum_.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf",
    'a"b\\c;d%20.txt': b"filename=\"a_b_c_d_20.txt\"; filename*=UTF-8''a%22b_c%3Bd%2520.txt",
    "../../etc/passwd": b'filename=".._.._etc_passwd"',
    "..": b'filename="_"',
    " ": b'filename="_"',
    "": b'filename="_"',
    "\U0001f602": b"filename=\"_\"; filename*=UTF-8''%F0%9F%98%82",
}


@pytest.mark.parametrize(("name", "spelled"), SPELLED.items())
def test_how_a_filename_is_spelled(name: str, spelled: bytes) -> None:
    found = read(b"attachment; a=b; filename*=UTF-8''x; c=\"d\"; filename=x; e=f")
    assert found is not None
    assert found.spell(name.encode()) == b"attachment; a=b; " + spelled + b'; c="d"; e=f'


@pytest.mark.parametrize("name", ["a\r\nX: y", "a\n", "\x00", "\x7f", "\x85", "\u2028"])
def test_control_characters_have_no_spelling(name: str) -> None:
    with pytest.raises(OpenFailed):
        FileDisposition(b"x", b"attachment", b"").spell(name.encode())


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=20))
def test_what_is_spelled_reads_as_that_name_and_is_safe(name: str) -> None:
    value = FileDisposition(b"x", b"attachment", b"; size=3").spell(name.encode())

    safe = name.replace("/", "_").replace("\\", "_")
    safe = safe if safe.strip(". ") else "_"
    header = value.decode("ascii")
    assert header.isprintable()
    message = email.message.EmailMessage(email.policy.HTTP)
    message["Content-Disposition"] = header
    parameters = message["Content-Disposition"].params
    assert parameters["size"] == "3"
    assert message.get_filename() == safe or "filename*" in header
    if "filename*" in header:
        assert header.partition("filename*=")[2].startswith("UTF-8''")
        (extended,) = [one for one in header.split("; ") if one.startswith("filename*=")]
        again = read(b"attachment; " + extended.encode())
    else:
        again = read(value)
    assert again is not None
    assert again.filename.decode() == safe


@pytest.mark.timing
@pytest.mark.parametrize("piece", [b";", b"; ", b"; a=b", b'; a="', b'\\"', b" ", b'; a="\\"'])
def test_a_long_value_takes_no_time(piece: bytes) -> None:
    start = time.process_time()
    read(b"attachment" + piece * (32 * 1024 // len(piece)))
    assert time.process_time() - start < 1

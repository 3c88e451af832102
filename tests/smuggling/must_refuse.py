"""What must not get through: every row that its source refuses, less a reviewed few."""

from __future__ import annotations

from typing import Final

from tests.smuggling.corpus import Row, rows

WAIVED: Final = {
    # A limit of gunicorn's, set low by its own test; ours are larger and have tests of their own.
    "gunicorn:invalid/006": "a request line of 4.5 KB is within our 8 KB",
    "gunicorn:invalid/008": "headers of 4 KB are within our 64 KB",
    "gunicorn:invalid/010+host": "gunicorn's test allows no header at all",
    "gunicorn:invalid/017+host": "gunicorn's test allows two headers of few bytes",
    "gunicorn:invalid/limit_header_default_01": "a header of 8190 bytes is within our 8 KB",
    # A setting of gunicorn's.
    "gunicorn:invalid/019+host": "X-Forwarded-* of a stranger are replaced, not judged",
    # RFC 9110 section 6.5.1: a trailer that must not be merged may be dropped; it is.
    "gunicorn:invalid/rfc9110_trailer_forbidden_host_01": "trailers are dropped",
    # llhttp's word for handing the connection over, not for a refusal. RFC 9110 section 7.8: a
    # server may ignore Upgrade; ours does, forwards none, and closes behind the answer.
    "llhttp:request/connection#Setting a flag and pausing+host": "an upgrade that is ignored",
    "llhttp:request/connection#Upgrade POST request": "an upgrade that is ignored",
}
"""The reason why a row may pass although its source refuses it."""

VALID_BEFORE: Final = {
    "llhttp:request/connection#CRLF between requests, implicit `keep-alive`": 1,
}
"""How many whole and sound requests stand before the one that is refused."""


def must_refuse() -> tuple[Row, ...]:
    """Return the rows of which nothing may be forwarded but what stands before their fault."""
    return tuple(row for row in rows() if row.expect == "reject" and row.id not in WAIVED)

"""The rows as requests: spellings of the path, of the method, of the body, of forms."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).parent.parent / "vectors" / "smuggling" / "path-bypass.tsv"
PARTS: Final = Path(__file__).parent.parent / "vectors" / "multipart.jsonl"
CARD: Final = "4111-CANARY-9f2c61"
BODY: Final = f'{{"card":"{CARD}"}}'.encode()
JSON: Final = ("Content-Type: application/json",)
TEXT: Final = ("Content-Type: text/plain",)
_UTF_16: Final = ("Content-Type: application/x-www-form-urlencoded; charset=utf-16",)
_UTF_7: Final = ("Content-Type: application/x-www-form-urlencoded; charset=utf-7",)


@dataclass(frozen=True, slots=True)
class Row:
    """One request; `name` is the row's id, with a letter after it if a row has several variants."""

    name: str
    spelling: str
    method: str = "POST"
    target: str = "/api/pay"
    headers: tuple[str, ...] = JSON
    body: bytes = BODY

    @property
    def raw(self) -> bytes:
        """The bytes to send."""
        lines = (
            f"{self.method} {self.target} HTTP/1.1",
            "Host: pay.test",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
            *self.headers,
        )
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def _method(name: str, method: str, *headers: str, target: str = "/api/pay") -> Row:
    told = " + ".join((method, *headers))
    return Row(name, told, method=method, target=target, headers=(*JSON, *headers))


def _body(name: str, spelling: str, body: str | bytes = BODY, *headers: str) -> Row:
    data = body.replace("4111", CARD).encode() if isinstance(body, str) else body
    return Row(name, spelling, body=data, headers=headers or JSON)


def _coded(name: str, coding: str, body: bytes) -> Row:
    header = f"Content-Encoding: {coding}"
    return _body(name, header, body, *JSON, header)


_PACKED: Final = gzip.compress(BODY, mtime=0)

METHODS: Final = (
    _method("m01", "POST"),
    _method("m02", "post"),
    _method("m02b", "Post"),
    _method("m03", "GET", "X-HTTP-Method-Override: POST"),
    _method("m03b", "PUT", "X-HTTP-Method-Override: POST"),
    _method("m03c", "GET", "X-HTTP-Method-Override: post"),
    _method("m05", "PATCH"),
    _method("m05b", "PUT"),
)
BODIES: Final = (
    _body("b01", "escaped name", '{"\\u0063ard":"4111"}'),
    _body("b02", "the name twice", '{"card":"4111","card":"4111"}'),
    _body("b02b", "the name twice, once escaped", '{"card":"4111","\\u0063ard":"4111"}'),
    _body("b03", "Card", '{"Card":"4111"}'),
    _body("b03b", "card and CARD", '{"card":"1","CARD":"4111"}'),
    _body("b07", "text/plain", BODY, *TEXT),
    _body("b08", "no Content-Type", BODY, "X-Nothing: 1"),
    _body("b09", "charset=utf-7", BODY, "Content-Type: application/json;charset=utf-7"),
    Row("b13", "?card= in the query", target=f"/api/pay?card={CARD}"),
    _body("b14", "in an array", '[{"card":"4111"}]'),
    _body("b14b", "in an object", '{"x":{"card":"4111"}}'),
    _coded("b15", "gzip", _PACKED),
    _coded("b16", "GZIP", _PACKED),
    _coded("b16b", "x-gzip", _PACKED),
    _coded("b16c", "identity", BODY),
    _coded("b17", "gzip, gzip", gzip.compress(_PACKED, mtime=0)),
    _coded("b18", "foo", BODY),
    _body("b21", "a NUL after it", '{"card":"4111"}\0'),
    _body("b21b", "garbage after it", '{"card":"4111"}x'),
    _body("b21c", "two documents", '{"card":"1"}{"card":"4111"}'),
    _body("b22", "a number", b'{"card":41119261}'),
    _body("b24", "a comment", '// c\n{"card":"4111"}'),
    _body("b24b", "a bare name", '{card:"4111"}'),
    _body("b24c", "single quotes", "{'card':'4111'}"),
)


def _form(name: str, spelling: str, target: str = "/api/pay", more: tuple[str, ...] = ()) -> Row:
    body = spelling.replace("4111", CARD).encode("latin-1")
    headers = ("Content-Type: application/x-www-form-urlencoded", *more)
    return Row(name, spelling, target=target, headers=headers, body=body)


FORMS: Final = (
    _form("f01", "card=4111"),
    _form("f02", "c%61rd=4111"),
    _form("f03", "card=1&card=4111"),
    _form("f04", "card=1&Card=4111"),
    _form("f05", "card=1&card[]=4111"),
    _form("f06", "card=1&card%5B%5D=4111"),
    _form("f07", "card=1&card[x]=4111"),
    _form("f08", "card=1&+card=4111"),
    _form("f09", "card=1&card%00=4111"),
    _form("f10", "card=1&c%2561rd=4111"),
    _form("f11", "card=1&c%u0061rd=4111"),
    _form("f12", "card=1;card=4111"),
    _form("f13", "card=1&n=1;card=4111"),
    _form("f14", "card=1&%EF%BD%83ard=4111"),
    _form("f15", "card=1&%EF%BB%BFcard=4111"),
    _form("f16", "card=1&%FFcard=4111"),
    _form("f17", "card=%E44111"),
    _form("f18", "card=1", f"/api/pay?card={CARD}"),
    _form("f19", "card=1", f"/api/pay?card[]={CARD}"),
    _form("f20", "card=4111", more=("Content-Type: text/plain",)),
    Row("f21", "charset=utf-16", headers=_UTF_16, body=f"card={CARD}".encode("utf-16")),
    Row("f22", "charset=utf-7", headers=_UTF_7, body=f"card={CARD}".encode()),
    Row("f23", "text/plain", headers=TEXT, body=f"card={CARD}\r\n".encode()),
)


def _query(name: str, spelling: str) -> Row:
    target = "/api/pay?" + spelling.replace("4111", CARD)
    return Row(name, f"?{spelling} beside JSON", target=target, body=b'{"card":"1"}')


_POLYGLOT: Final = f'{{"a":"&card=1&","card":"{CARD}"}}'.encode()
_EVENTS: Final = ("Content-Type: text/event-stream",)
_FORM: Final = ("Content-Type: application/x-www-form-urlencoded",)
_COMMENTED: Final = f'{{/*\ndata: {{"card":"1"}}\n\n*/"card":"{CARD}"}}'.encode()

PLACES: Final = (
    _query("q01", "card=4111"),
    _query("q02", "card[]=4111"),
    _query("q03", "card[n]=4111"),
    _query("q04", "%63ard=4111"),
    _query("q05", "Card=4111"),
    _query("q06", "+card=4111"),
    _query("q07", "card%00=4111"),
    _query("q08", "c.ard=4111&card=4111"),
    Row("q09", "a cookie", headers=(*JSON, f"Cookie: card={CARD}"), body=b'{"card":"1"}'),
    Row("q10", "a cookie beside a form", headers=(*_FORM, f"Cookie: card={CARD}"), body=b"card=1"),
    *(
        Row(f"x{at:02}", spelling, target=spelling)
        for at, spelling in enumerate(
            (
                *("/api/pay.json", "/api/pay.JSON", "/api/pay%2Ejson", "/api/pay.json/"),
                *("/api/pay.html", "/api/pay.php", "/api/pay.anything", "/api/pay."),
                *("/index.php/api/pay", "/index%2Ephp/api/pay", "/index.php//api/pay"),
                *("/INDEX.PHP/api/pay", "/x/index.php/api/pay", "/api/pay/index.php"),
            ),
            1,
        )
    ),
    Row("e01", "JSON as an event stream", headers=_EVENTS),
    Row("e02", "JSON after an event", headers=_EVENTS, body=b"data: {}\n\n" + BODY),
    Row("e03", "an event in a comment of JSON", headers=_EVENTS, body=_COMMENTED),
    Row("e04", "a form that is JSON too", headers=_FORM, body=_POLYGLOT),
    Row("e05", "the same after a blank", headers=_FORM, body=b" \n" + _POLYGLOT),
    Row("e06", "the same after a byte order mark", headers=_FORM, body=b"\xef\xbb\xbf" + _POLYGLOT),
    Row("e07", "JSON with a pair after it", headers=_FORM, body=BODY + b"&card=1"),
)


def parts() -> tuple[Row, ...]:
    """Return a request for each form in parts among the vectors, which have a card of their own."""
    found = [json.loads(line) for line in PARTS.read_text().splitlines()]
    return tuple(
        Row(
            f"part-{one['id']}",
            one["note"],
            headers=(f"Content-Type: {one['content_type']}",),
            body=one["body"].encode("latin-1"),
        )
        for one in found
    )


def table() -> list[tuple[str, str, str]]:
    """Return id, spelling and expectation of each row of the file."""
    lines = [line for line in TABLE.read_text().splitlines() if line[0] != "#"]
    return [(cells[0], cells[1], cells[2]) for cells in (line.split("\t") for line in lines)]


def paths() -> tuple[Row, ...]:
    """Return a request for each spelling of the path."""
    return tuple(
        Row(name, spelling, target=spelling.encode().decode("unicode_escape"))
        for name, spelling, _ in table()
        if name.startswith("p")
    )


def rows() -> tuple[Row, ...]:
    """Return all requests."""
    return (*paths(), *METHODS, *BODIES, *FORMS, *PLACES, *parts())

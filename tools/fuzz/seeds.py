"""Bytes to begin with: the corpora of the tests, and a few of each kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PLAINTEXT: Final = b"a plaintext that only seeds have"
CARD: Final = b"4111-CANARY"
_VECTORS: Final = ROOT / "tests" / "vectors"
_LONGEST: Final = 4096


def requests() -> list[bytes]:
    """Return heads of requests."""
    plain = [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST http://h:80/a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        (
            b"GET /s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ),
    ]
    for name in sorted((_VECTORS / "smuggling").glob("*.jsonl")):
        rows = [json.loads(line) for line in name.read_text().splitlines()]
        plain += [row["raw"].encode("latin-1", "replace") for row in rows if "raw" in row]
    heads = [b"POST %b HTTP/1.1\r\nHost: h\r\n\r\n" % one for one in paths()]
    return _short(plain + heads)


def paths() -> list[bytes]:
    """Return paths."""
    found = [b"/", b"/api/pay", b"/api/x/items/y", b"/public/a/../b", b"/%C3%9F", b"/a;b/%2e%2e/"]
    for line in (_VECTORS / "smuggling" / "path-bypass.tsv").read_text().splitlines():
        cells = line.split("\t")
        if len(cells) > 1 and cells[1].startswith("/"):
            found.append(cells[1].encode())
    return found


def documents() -> list[bytes]:
    """Return JSON texts, right and wrong."""
    files = sorted((_VECTORS / "json-suite").rglob("*.json"))
    made = [b'{"content":"hello","list":[{"text":"a longer text"},{"text":null}],"n":1e5}']
    made += [b'{"a":[{"b":1.10},{"b":"\\u0061"}],"b":{"a":"x"},"a b":[0,[1]]}', b'{"content":""}']
    return _short(made + [one.read_bytes() for one in files])


def masked_documents() -> list[bytes]:
    """Return JSON texts behind a mask of selectors."""
    masks = (b"\x00\x00\x07", b"\x00\xff\xff", b"\xff\xff\xff")
    return [mask + one for one in documents() for mask in masks]


def parts() -> list[bytes]:
    """Return forms in parts behind a byte that chooses their Content-Type."""
    rows = [json.loads(line) for line in (_VECTORS / "multipart.jsonl").read_text().splitlines()]
    bodies = [one["body"].encode("latin-1") for one in rows]
    return _short([bytes((at,)) + one for one in bodies for at in range(2)])


def tokens() -> list[bytes]:
    """Return tokens that open, and some that do not."""
    files = [json.loads((_VECTORS / name).read_text()) for name in ("sy1.json", "base64.json")]
    tokens = [one["token"].encode() for file in files for one in file["must_open"]]
    equal = json.loads((_VECTORS / "wire" / "equal.json").read_text())
    return _short(tokens + [one["token"].encode() for one in equal["vectors"]])


def bodies_with_tokens() -> list[bytes]:
    """Return JSON texts with tokens in them."""
    short = [one.decode() for one in tokens() if len(one) < 400]  # noqa: PLR2004 - short ones
    some = [*short[:12], *(one.replace("/", "\\/") for one in short[-2:]), short[-1]]
    bodies = [json.dumps({"a": one, "b": [f"see {one}, {one[:-8]}"], one: 1}) for one in some]
    bodies += [json.dumps(json.dumps([one, json.dumps({"x": one})])) for one in some]
    # Half of a surrogate pair, which only a text inside of a text may hold.
    bodies += [json.dumps(json.dumps(["\ud83d", "\udc0e" + one, one])) for one in some]
    return _short([one.encode() for one in bodies])


def expressions() -> list[bytes]:
    """Return selectors, sources and patterns."""
    return [
        *(b"$.a", b"$['a b'][0]..c[*]", b"$..*", b"body", b"text", b"tokens", b"query:x"),
        *(
            b"header:X-Id",
            b"const:clinic",
            b"path:id",
            b"$.a.b~",
            b"jwt-unverified:sub",
            b"form:x",
            b"part:x",
        ),
        *(b"$.a json:$.b json:$[0]", b"form:x $.a", b"part:x $.a json:$.b~", b"$ json:$"),
        *(b"POST /a/{id}/*", b"GET,PUT /a/**", b"WS /socket", b"/%C3%9F/b", b"/"),
    ]


def configurations() -> list[bytes]:
    """Return configurations."""
    files = sorted((ROOT / "config").rglob("*.yaml"))
    files += sorted((ROOT / "tests/config/data").rglob("*.yaml"))
    return [one.read_bytes() for one in files]


def responses() -> list[bytes]:
    """Return responses behind two flags and a place to cut."""
    heads = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 404 Not\tFound\r\nA: b\r\n\r\nrest",
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    )
    return [bytes((flags, 0, 20)) + one for one in heads for flags in range(4)]


def streams() -> list[bytes]:
    """Return streams of records behind their kind and a place to cut."""
    events = json.loads((_VECTORS / "events.json").read_text())["streams"]
    made = [(0, one["stream"].encode("latin-1")) for one in events]
    made += [(1, b'{"a":1}\n\n[2]\r\n"x"'), (2, b'\x1e{"a":\n"}\\""}\n\x1e1\n\x1e[\n]\n')]
    return [bytes((kind, 0, at)) + one for kind, one in made for at in (0, 7, 12)]


def native(target: str) -> list[bytes]:
    """Return what a target of `tools/fuzz/native` begins with."""
    made = {
        "base64url": [part for one in tokens() for part in one.split(b".") if part],
        "tokens": tokens(),
        "fields": [one.partition(b"\r\n")[2] for one in requests()],
        "masks": [b"\x01\x80\xff\x10" + one for one in documents()],
        "json": [bytes((paths,)) + one for one in documents() for paths in range(6)],
        "unquote": documents(),
        "values": [one for text in documents() for one in re.findall(rb'"[^"]*"', text)],
        "search": [b"\x80" + one for one in bodies_with_tokens()],
        "strings": [*documents(), 'a\nGr\u00fc\u00dfe \U0001f40e"\\\x00'.encode()],
        "spans": [b"\x02\x01\x03\x02\x04\x05\x00" + one for one in documents()],
    }
    return made[target]


def _short(found: list[bytes]) -> list[bytes]:
    return [one for one in found if len(one) <= _LONGEST]

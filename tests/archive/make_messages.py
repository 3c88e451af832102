"""The archive's messages: what rules of every kind of name and body made of them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from proxy.keys.keyring.keyring import Keyring
from proxy.keys.stores import MemoryStore
from tests.archive.passing import Message, Passing, bearer
from tests.archive.people import Process

JSON: Final = "application/json"
CONTENT: Final = {"content": "Grüße 🌍", "note": "short", "data": [1.10, {"a": None}]}
_BOUNDARY: Final = "boundary"


async def write_messages(folder: Path, kept: Keyring, now: int) -> dict[str, str]:
    """Write the rules, and each message as it came and as it went on."""
    rules = Path(__file__).with_name("rules.yaml")
    shutil.copy(rules, folder / "rules.yaml")
    process = Process(kept, MemoryStore(time.monotonic), now)
    passing = Passing.through(rules, process.durable, now)
    items = []
    for one in _messages():
        sealed = await passing.request(one)
        items.append({"request": one.to_json(), "sealed": sealed.to_json()})
    (folder / "messages.json").write_text(json.dumps(items, indent=1) + "\n")
    return {"rules": "rules.yaml", "messages": "messages.json"}


def _messages() -> Iterator[Message]:
    names = ("c1", "5:alice3:bob", "gr%C3%BC%C3%9Fe%20%F0%9F%8C%8D", "1:5")
    for name in names:
        yield _json(f"/scalar/{name}")
    yield _json("/query?room=a%20room")
    yield _json("/claim", headers=bearer({"room": "from a claim"}))
    for path in ("pair", "members"):
        for a, b in (("alice", "bob"), ("bob", "alice"), ("1:a", "b"), ("%C3%BC", "%F0%9F%8C%8D")):
            yield _json(f"/{path}/{a}/{b}")
    yield _json("/first", {"thread": "t1", "from": "alice", "to": "bob"})
    yield _json("/first", {"from": "bob", "to": "alice"})
    for people in ([{"id": "alice"}], [{"id": "alice"}, {"id": "bob"}], [{"id": 7}, {"id": "ü"}]):
        yield _json("/everybody", {"people": people})
    yield _json("/names", {"people": {"alice": 1, "bob": 2}})
    yield _json("/names", {"people": {"alice": 1}})
    people = [{"id": "x"}, {"id": "y"}]
    yield _json("/nested/a", {"from": "bob", "to": "alice", "people": people})
    yield _json("/nested-members/a", {"from": "bob", "to": "alice"})
    yield _json("/tenants/t1/c1")
    yield _json("/both/t1/c1", {"room": 42})
    yield _json("/message/c1/m1", {"number": 7})
    yield _json("/expiring/c1")
    for pair in ("alice/bob", "gr%C3%BC%C3%9Fe/%F0%9F%8C%8D"):
        yield _json(f"/everywhere/{pair}")
    yield from _of_elements()
    yield from _of_other_bodies()


def _of_elements() -> Iterator[Message]:
    rooms = [{"room": "r1", "content": "one"}, {"room": "r2", "content": "two"}]
    pairs = [
        {"from": "alice", "to": "bob", "content": "one"},
        {"from": "bob", "to": "alice", "content": "two"},
        {"from": "eve", "to": "bob", "content": "three"},
    ]
    groups = [
        {"people": [{"id": "alice"}, {"id": "bob"}], "content": "one"},
        {"people": [{"id": "eve"}], "content": "two"},
    ]
    for path, items in (
        ("elements", rooms),
        ("element-members", pairs),
        ("element-people", groups),
    ):
        yield Message(_text({"items": items}), JSON, target=f"/{path}")
    lines = b"".join(_text(one) + b"\n" for one in pairs)
    yield Message(lines, "application/x-ndjson", target="/records")


def _of_other_bodies() -> Iterator[Message]:
    form = b"comment=Gr%C3%BC%C3%9Fe+%F0%9F%8C%8D&other=plain"
    yield Message(form, "application/x-www-form-urlencoded", target="/form/f1")
    tags = b"tag=Gr%C3%BC%C3%9Fe&tag=%F0%9F%8C%8D"
    yield Message(tags, "application/x-www-form-urlencoded", target="/tags/t1")
    events = b'id: 1\ndata: {"content": "one"}\n\ndata: {"content": "\xc3\xbc"}\n\n'
    yield Message(events, "text/event-stream", target="/events/e1")
    parts = f"multipart/form-data; boundary={_BOUNDARY}"
    for size in (20, 66_000):
        yield Message(_parts(size), parts, target="/parts/p1")
    for media_type, body in (
        ("text/html; charset=latin1", b"<p>\xfc</p>"),
        ("image/png", b"\x89PNG"),
    ):
        yield Message(body, media_type, target="/letter/alice/bob")
    yield Message(_text({"picture": "iVBORw0KGgo="}), JSON, target="/picture/p1")
    yield Message("Grüße".encode(), "text/plain; charset=utf-8", target="/text/t1")


def _parts(size: int) -> bytes:
    file = b"\x89PNG" + bytes(size)
    pieces = [
        b'Content-Disposition: form-data; name="comment"\r\n\r\nGr\xc3\xbc\xc3\x9fe',
        b'Content-Disposition: form-data; name="file"; filename="x-ray.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + file,
    ]
    mark = f"--{_BOUNDARY}".encode()
    return b"".join(mark + b"\r\n" + one + b"\r\n" for one in pieces) + mark + b"--\r\n"


def _json(
    target: str,
    names: dict[str, Any] | None = None,
    *,
    headers: tuple[tuple[str, str], ...] = (),
) -> Message:
    return Message(_text({**(names or {}), **CONTENT}), JSON, target=target, headers=headers)


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()

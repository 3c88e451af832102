"""The kinds of work that Sealyard and its peers are given, and the messages that go with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

CONNECTIONS: Final = 16
"""Where nothing else is said, so many at once."""
ROWS: Final = 50
"""The messages of a list, and the events of a stream."""
LARGE_ROWS: Final = 12_500
LARGE_ROW_BYTES: Final = 900
"""A list of so many messages of that size has 16 MiB where Sealyard has sealed them."""
_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_WORDS: Final = "the patient slept well and asks when the results of the blood test will be known "

CONVERSATION: Final = "@" * 10
"""Stands in a message for the number of its conversation, as many digits."""
HEAD: Final = "#" * 10
"""Stands for a number that no other message has: in cookies, ids of requests, ids in paths."""
MANY: Final = 5_000
"""So many conversations are had in turn, where there are many."""
CHAT_BYTES: Final = 981

Shape = Literal["passed", "sealed", "whole", "rows", "events", "websocket"]
"""What is done to a message, and so how it is checked: `rows` and `events` are answers."""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request: how it is sent, and which texts the backend must never see.

    `secrets` are the values of the body that are sealed, in its order; of `whole` it is the body.
    `rows` is how many messages an answer holds. `conversations` come in turn, 0 is a new one with
    each message. A connection ends after so many messages as `connection` says on average, 0 is
    never.
    """

    name: str
    title: str
    shape: Shape
    path: str
    body: bytes = b""
    secrets: tuple[str, ...] = ()
    rows: int = 0
    method: Literal["GET", "POST", "PUT"] = "POST"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    conversations: int = 1
    connection: int = 0

    def at(self, number: int) -> Work:
        """Return the message of that number."""
        conversation = number % self.conversations if self.conversations else number

        def put(text: str) -> str:
            text = text.replace(CONVERSATION, f"{conversation:010d}")
            return text.replace(HEAD, f"{number:010d}")

        return replace(
            self,
            path=put(self.path),
            body=put(self.body.decode()).encode(),
            headers=tuple((name, put(value)) for name, value in self.headers),
        )

    def raw(self) -> bytes:
        """Return the bytes of the request; what stands for a number still stands there."""
        more = {"Host": "127.0.0.1"}
        if self.body:
            more["Content-Length"] = str(len(self.body))
        lines = [f"{name}: {value}\r\n" for name, value in (*more.items(), *self.headers)]
        return f"{self.method} {self.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + self.body


def a_text(size: int) -> str:
    """Return prose of that many characters."""
    return (_WORDS * (size // len(_WORDS) + 1))[:size]


def a_message(size: int, *, conversation: str = "c-1842") -> bytes:
    """Return a chat message of that many bytes as JSON; nearly all of it is `content`."""
    message = {
        "id": "01HZX3",
        "conversationId": conversation,
        "from": "u-17",
        "subject": "Lab result",
        "content": "",
        "priority": 2,
        "read": False,
        "tags": ["lab", "urgent"],
        "meta": {"client": "web", "zone": 3},
    }
    message["content"] = a_text(max(1, size - len(json.dumps(message))))
    return json.dumps(message).encode()


def posting(name: str, title: str, path: str, body: bytes) -> Work:
    """Return the work of posting a message whose `content` is secret."""
    secret = json.loads(body)["content"]
    return Work(name, title, "sealed", path, body, (secret,))


_CLIENT: Final = (
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-GB,en;q=0.9,fi;q=0.8"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Chat/0000000017"),
    ("Origin", "https://chat.clinic.example"),
    ("Referer", "https://chat.clinic.example/rooms/r-1842"),
    ("Authorization", f"Bearer {'eyJhbGciOiJFZERTQSJ9' * 5}.0000000017"),
    ("Cookie", "theme=dark; session=4f1c9a7de0b24d7b8a6c0000000017; consent=1"),
    ("X-Request-Id", "0b7e2f64-9d1c-4f0e-8a52-000000000017"),
    ("traceparent", "00-4bf92f3577b34da6a3ce920000000017-00f0670000000017-01"),
)
"""What a browser sends with a message, beside Host and Content-Length."""
_DIFFERENT: Final = frozenset(
    {"User-Agent", "Authorization", "Cookie", "X-Request-Id", "traceparent"}
)
_ROOM: Final = "/api/rooms/r-1842/messages"


def _heads(names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return what a browser sends, with a number that no other message has in those headers."""
    return tuple(
        (name, value.replace("0000000017", HEAD) if name in names else value)
        for name, value in _CLIENT
    )


def a_chat(conversation: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a chat message of `CHAT_BYTES` in JSON, and its four values that are sealed."""
    message: dict[str, Any] = {
        "id": "01HZX3KQ7J4T8N2M5R6V9W1Y0B",
        "conversationId": conversation,
        "from": {"id": "u-17", "name": "Ilse Aaltonen, ward seven"},
        "text": "",
        "attachments": [
            {
                "id": "a-1",
                "name": "discharge letter of Ilse A.pdf",
                "type": "application/pdf",
                "size": 48211,
            }
        ],
        "replyTo": {"id": "01HZX3KQ6", "text": "when may she go home and with which tablets"},
        "sentAt": "2026-12-01T08:15:00.000Z",
        "mentions": ["u-4", "u-9"],
        "read": False,
        "meta": {"client": "web", "zone": 3, "urgent": False},
    }
    message["text"] = a_text(CHAT_BYTES - len(json.dumps(message)))
    (attachment,) = message["attachments"]
    sealed = (message["from"]["name"], message["text"], attachment["name"])
    return json.dumps(message).encode(), (*sealed, message["replyTo"]["text"])


def a_patient(identity: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a FHIR patient in JSON, and its ten values that are sealed."""
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": identity,
        "meta": {"versionId": "3", "lastUpdated": "2026-12-01T08:15:00.000Z"},
        "identifier": [{"system": "urn:oid:1.2.246.21", "value": "ward-seven-4711"}],
        "active": True,
        "name": [
            {"use": "official", "family": "Aaltonen-Virtanen", "given": ["Ilse-Maria", "Eleonora"]},
            {"use": "maiden", "family": "Virtanen-Koskela", "given": ["Ilse-Maria Eleonora"]},
        ],
        "gender": "female",
        "birthDate": "1974-12-25",
        "telecom": [
            {"system": "phone", "value": "+358 40 1234 5678"},
            {"system": "email", "value": "ilse.aaltonen@mail.example"},
        ],
        "address": [
            {
                "use": "home",
                "text": "Mannerheimintie 12 B 34, Helsinki",
                "line": ["apartment thirty-four, ring twice"],
                "country": "FI",
            }
        ],
    }
    names, telecom, (home,) = patient["name"], patient["telecom"], patient["address"]
    sealed = tuple(text for one in names for text in (one["family"], *one["given"]))
    sealed += (patient["birthDate"], *(one["value"] for one in telecom))
    sealed += (home["text"], *home["line"])
    return json.dumps(patient).encode(), sealed


def _shapes() -> Iterator[Work]:
    """Yield what differs from one message to the next, and how connections and answers are."""
    body, secrets = a_chat("c-0000001842")
    drawn, _ = a_chat(f"c-{CONVERSATION}")
    chat, many = "chat message, 4 fields", f"{MANY:,} conversations"
    one = Work("chat", f"{chat}: one head", "sealed", _ROOM, body, secrets, headers=_CLIENT)
    different, path = _heads(_DIFFERENT), f"/api/rooms/r-{HEAD}/messages"
    yield one
    yield replace(
        one,
        name="chat_cookie",
        title=f"{chat}: the cookie differs",
        headers=_heads(frozenset({"Cookie"})),
    )
    yield replace(one, name="chat_path", title=f"{chat}: an id in the path differs", path=path)
    heads = replace(one, name="chat_heads", title=f"{chat}: heads differ", headers=different)
    yield heads
    yield replace(
        heads,
        name="chat_many",
        title=f"{chat}: heads differ, {many}",
        body=drawn,
        conversations=MANY,
    )
    yield replace(
        one,
        name="chat_new",
        title=f"{chat}: one head, a new conversation each",
        body=drawn,
        conversations=0,
    )
    yield replace(
        heads,
        name="chat_all_new",
        title=f"{chat}: head, path and conversation new each",
        path=path,
        body=drawn,
        conversations=0,
    )
    for count, title in ((1, "a connection each"), (5, "a connection for five")):
        yield replace(one, name=f"chat_close_{count}", title=f"{chat}: {title}", connection=count)
    chunked = f"/api/chunked{_ROOM.removeprefix('/api')}"
    yield replace(one, name="chunked", title=f"{chat}: a chunked answer", path=chunked)
    yield from _patients()


def _patients() -> Iterator[Work]:
    for name, identity, title, conversations in (
        ("fhir", "0000001842", "one head", 1),
        ("fhir_many", CONVERSATION, f"{MANY:,} patients by path", MANY),
    ):
        body, secrets = a_patient(f"p-{identity}")
        yield Work(
            name,
            f"FHIR patient, 10 values: {title}",
            "sealed",
            f"/fhir/Patient/p-{identity}",
            body,
            secrets,
            method="PUT",
            headers=(("Content-Type", "application/fhir+json"), *_CLIENT[1:]),
            conversations=conversations,
        )


def works(conversation: str) -> dict[str, Work]:
    """Return every kind of work by its name; lists and streams are those of `conversation`."""
    small = a_message(_KIB)
    listed, large = f"conversations/{conversation}", f"conversations/{conversation}-large"
    opened = "each one's field opened"
    sizes = (
        ("seal", "1 KiB", _KIB),
        ("seal_16k", "16 KiB", 16 * _KIB),
        ("seal_1m", "1 MiB", _MIB),
        ("seal_8m", "8 MiB", 8 * _MIB),
    )
    every = (
        Work("pass", "1 KiB passed through", "passed", "/plain/messages", small),
        *(
            posting(name, f"{size}, one field sealed and opened", "/api/messages", a_message(most))
            for name, size, most in sizes
        ),
        *(
            Work(
                name,
                f"1 KiB, the whole body sealed and opened, answered as {kind}",
                "whole",
                path,
                small,
                (a_text(100),),
            )
            for name, kind, path in (
                ("whole", "application/jose", "/api/documents"),
                ("whole_json", "application/json", "/api/json/documents"),
            )
        ),
        Work(
            "list_pass",
            f"list of {ROWS} passed through",
            "passed",
            f"/plain/{listed}/messages",
            rows=ROWS,
            method="GET",
            headers=(),
        ),
        _reading("list", f"list of {ROWS}, {opened}", f"/api/{listed}/messages"),
        _reading("tokens", f"list of {ROWS}, searched for tokens", f"/api/{listed}/timeline"),
        replace(
            _reading("list_16m", f"list of {LARGE_ROWS:,}, {opened}", f"/api/{large}/messages"),
            rows=LARGE_ROWS,
        ),
        replace(
            _reading(
                "events",
                f"event stream of {ROWS}, {opened} as it comes",
                f"/api/{listed}/events",
            ),
            shape="events",
        ),
        Work(
            "websocket",
            "WebSocket message of 1 KiB, one field sealed and opened",
            "websocket",
            "/api/rooms/c-1842",
            small,
            (json.loads(small)["content"],),
        ),
        *_shapes(),
    )
    return {work.name: work for work in every}


def _reading(name: str, title: str, path: str) -> Work:
    return Work(name, title, "rows", path, rows=ROWS, method="GET", headers=())

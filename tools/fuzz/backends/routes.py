"""The routes of the application that every backend serves, and the rules that an author writes.

A handler reports each *ruled name* as it reads it, in every way in which such a program does: from
the bound struct, from the framework's merged parameters, from the body alone. Which name of a route
is the conversation, and where it stands, is said here once, for rules and for handlers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

Source = Literal["json", "query", "header", "path", ""]
"""Where a rule reads the conversation; nowhere where a value is bound to its tenant alone."""
Action = Literal["encrypt", "decrypt"]
Kind = Literal["json", "form", "parts", "records", "events", "any", "none"]


@dataclass(frozen=True, slots=True)
class Route:
    """One route: how it is ruled, and what its handler reads.

    `path` holds `{name}` where the application reads a name from the path. `fields` are the ruled
    names; the first is always there, unless they are `optional`. `kinds` are the bodies that honest
    clients send.
    """

    name: str
    path: str
    fields: tuple[str, ...]
    method: str = "POST"
    source: Source = ""
    conversation: str = ""
    kinds: tuple[Kind, ...] = ("json",)
    action: Action = "encrypt"
    when: str = ""
    """A member that decides: only where the handler reads `secret` there is a value ruled."""
    optional: bool = False
    """Whether all ruled names may be missing, the first too."""

    def contract(self) -> dict[str, object]:
        """Return what a backend must know of it, as plain data."""
        told = asdict(self)
        del told["optional"]
        return told


ROUTES: Final[tuple[Route, ...]] = (
    Route("messages", "/api/messages", ("content", "subject"), "POST", "json", "conversationId"),
    Route("pay", "/api/pay", ("card",)),
    Route("room", "/api/rooms/{room}/messages", ("content", "subject"), "POST", "path", "room"),
    Route("member", "/api/members", ("user.card", "user.phone"), "POST", "json", "meta.roomId"),
    Route("queue", "/api/queue", ("content",), "POST", "query", "roomId"),
    Route("hooks", "/api/hooks", ("content",), "POST", "header", "x-room"),
    Route("profile", "/api/profile", ("phone", "iban"), "PUT"),
    Route("typed", "/api/typed", ("content",), when="kind"),
    Route(
        "contact",
        "/contact/{id}",
        ("message", "phone", "attachment"),
        "POST",
        "path",
        "id",
        ("form", "parts"),
    ),
    Route("order", "/api/orders", ("card",), "POST", "query", "roomId", ("form", "parts")),
    Route("booking", "/api/bookings", ("order.card", "order.note"), kinds=("form", "parts")),
    Route("survey", "/api/surveys", ("answer", "remark"), kinds=("parts",), optional=True),
    Route("stamp", "/api/stamps", ("x-card",)),
    Route("script", "/files/pay.php", ("card",), kinds=("form",)),
    Route(
        "bulk",
        "/api/bulk",
        ("content",),
        "POST",
        "json",
        "conversationId",
        ("json", "records"),
    ),
    Route("lookup", "/api/lookup", ("card",), "GET", kinds=("none",)),
    Route("upload", "/files/{id}", ("body",), "PUT", "path", "id", ("any",)),
    Route(
        "inbox", "/in/messages", ("content",), "POST", "json", "conversationId", action="decrypt"
    ),
    Route("inqueue", "/in/queue", ("content",), "POST", "query", "roomId", action="decrypt"),
    Route("inhooks", "/in/hooks", ("content",), "POST", "header", "x-room", action="decrypt"),
    Route("inroom", "/in/rooms/{room}", ("content",), "POST", "path", "room", action="decrypt"),
    Route(
        "inform",
        "/in/form",
        ("content",),
        "POST",
        "query",
        "roomId",
        ("form", "parts"),
        action="decrypt",
    ),
)
BY_NAME: Final = {route.name: route for route in ROUTES}

RULES: Final = """\
      - name: public
        match: /public/**
      - name: messages
        match: POST /api/messages
        conversation: $.conversationId
        request: {encrypt: [$.content, optional $.subject]}
      - name: pay
        match: POST /api/pay
        request: {encrypt: $.card}
      - name: room
        match: POST /api/rooms/{room}/messages
        conversation: path:room
        request: {encrypt: [$.content, optional $.subject]}
      - name: member
        match: POST /api/members
        conversation: $.meta.roomId
        request: {encrypt: [$.user.card, optional $.user.phone]}
      - name: queue
        match: POST /api/queue
        conversation: query:roomId
        request: {encrypt: $.content}
      - name: hooks
        match: POST /api/hooks
        conversation: header:x-room
        request: {encrypt: $.content}
      - name: profile
        match: PUT /api/profile
        request: {encrypt: [optional $.phone, optional $.iban], nothing: pass}
      - name: typed
        match: POST /api/typed
        request:
          - when: {$.kind: secret}
            encrypt: $.content
          - {encrypt: optional $.card, nothing: pass}
      - name: contact
        match: POST /contact/{id}
        conversation: path:id
        request:
          - encrypt: [form:message, optional form:phone, optional form:attachment]
          - encrypt: [part:message, optional part:phone, optional part:attachment]
      - name: order
        match: POST /api/orders
        conversation: query:roomId
        request:
          - encrypt: form:card
          - encrypt: part:card
      - name: booking
        match: POST /api/bookings
        request:
          - encrypt: ['form:order[card]', 'optional form:order[note]']
          - encrypt: ['part:order[card]', 'optional part:order[note]']
      - name: survey
        match: POST /api/surveys
        request: {encrypt: [optional part:answer, optional part:remark], nothing: pass}
      - name: stamp
        match: POST /api/stamps
        request: {encrypt: header:x-card}
      - name: script
        match: POST /files/pay.php
        request: {encrypt: form:card}
      - name: bulk
        match: POST /api/bulk
        conversation: $.conversationId
        request: {encrypt: $.content}
      - name: lookup
        match: GET /api/lookup
        request: {encrypt: query:card}
      - name: upload
        match: PUT /files/{id}
        conversation: path:id
        request: {encrypt: body}
      - name: inbox
        match: POST /in/messages
        conversation: $.conversationId
        request: {decrypt: $.content}
      - name: inqueue
        match: POST /in/queue
        conversation: query:roomId
        request: {decrypt: $.content}
      - name: inhooks
        match: POST /in/hooks
        conversation: header:x-room
        request: {decrypt: $.content}
      - name: inroom
        match: POST /in/rooms/{room}
        conversation: path:room
        request: {decrypt: $.content}
      - name: inform
        match: POST /in/form
        conversation: query:roomId
        request:
          - decrypt: form:content
          - decrypt: part:content
      - name: what is opened in a conversation
        match: GET /opened/{room}
        conversation: path:room
        response: {decrypt: tokens}
      - name: what is opened
        match: GET /opened
        response: {decrypt: tokens}
      - name: below the files, the contacts and the rooms
        match:
          - POST,PUT,PATCH /files/{id}/**
          - POST,PUT,PATCH /contact/{id}/**
          - POST,PUT,PATCH /in/rooms/{room}/**
        request: reject
      - name: anything else of the interface
        match: /api/{what}
      - name: the rest
        match: /**
"""
"""As the how-to and the README write them: nothing is said about spellings or other places.

But for what `validate` tells: to Echo the last name of a route holds slashes as well.
"""

IN_BODIES: Final = RULES.replace(
    "conversation: path:room\n        request",
    "conversation: {from: path:room, also: [$.room]}\n        request",
)
"""Where others pass: the author knows that Echo takes the room from the body first, and says so."""

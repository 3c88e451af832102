"""Messages that pass through the rules of a file in this process, on a given clock."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from proxy.config.load import load
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Rule
from proxy.core.transform import Applied, apply, plan_request, plan_response
from proxy.core.values.key_needs import Keys, Needs

TYPE: Final = b"Content-Type"


class Resolver(Protocol):
    """Who has the session keys: those of one process, those of packages among them."""

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions of a plan."""
        ...


@dataclass(frozen=True)
class Message:
    """A request or an answer: its body, its type, and for a request the rest of its head."""

    body: bytes
    media_type: str
    method: str = "POST"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def head(self) -> RequestHead:
        """The head of it as a request."""
        path, mark, query = self.target.partition("?")
        return RequestHead(
            self.method, canonical(path).text, query if mark else None, self._headers()
        )

    @property
    def response_head(self) -> ResponseHead:
        """The head of it as an answer."""
        return ResponseHead(200, b"OK", self._headers())

    def _headers(self) -> Headers:
        more = tuple((name.encode(), value.encode()) for name, value in self.headers)
        return ((TYPE, self.media_type.encode()), *more)

    def to_json(self) -> dict[str, Any]:
        """Return the message as JSON holds it."""
        return {
            "method": self.method,
            "target": self.target,
            "type": self.media_type,
            "headers": [list(one) for one in self.headers],
            "body": base64.b64encode(self.body).decode(),
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Message:
        """Return the message that JSON holds."""
        headers = tuple((name, value) for name, value in said["headers"])
        body = base64.b64decode(said["body"])
        return cls(body, said["type"], said["method"], said["target"], headers)


@dataclass(frozen=True)
class Passing:
    """Takes messages through some rules with the keys of one process; `now` is since 1970."""

    rules: tuple[Rule, ...]
    keys: Resolver
    now: float

    @classmethod
    def through(cls, path: Path, keys: Resolver, now: float) -> Passing:
        """Return who takes messages through the rules of the file's one listener."""
        (listener,) = load(path, {}).settings.listeners
        return cls(listener.rules, keys, now)

    async def request(self, message: Message) -> Message:
        """Return a request as it goes on."""
        plan = plan_request(self._exchange(message), message.body)
        applied = apply(plan, await self.keys.resolve(plan.needs), self.now)
        return _after(applied, message)

    async def answer(self, request: Message, answer: Message) -> Message:
        """Return an answer to the request as it goes on."""
        exchange = self._exchange(request)
        if exchange.decision.reads_request:
            plan = plan_request(exchange, request.body)
            apply(plan, await self.keys.resolve(plan.needs), self.now)
        head = answer.response_head
        treatment = treat_response(exchange, head)
        assert isinstance(treatment, ReadResponse)
        plan = plan_response(exchange, treatment.block, head, answer.body)
        applied = apply(plan, await self.keys.resolve(plan.needs), self.now)
        return _after(applied, answer)

    def _exchange(self, message: Message) -> Exchange:
        head = message.head
        book = RuleTable(self.rules, pass_unmatched=True)
        decision = book.decide(head.method, canonical(message.target.partition("?")[0]))
        return Exchange(decision, head)


def bearer(claims: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the header with a JWT of these claims, which nobody has signed."""
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return (("Authorization", f"Bearer e30.{text}.x"),)


def _after(applied: Applied, before: Message) -> Message:
    out = applied.forwardable
    media_type = before.media_type if out.frame.media_type is None else out.frame.media_type
    assert out.body is not None
    return Message(out.body, media_type, before.method, before.target, before.headers)

"""Edits: one span, what takes its place, and for which context.

They are never changed, and yet not frozen, since several are made for every message: a frozen
dataclass of their size takes four times as long to make.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from ..crypto.context import Context, Scope
from ..crypto.session_cipher import Session
from ..crypto.token import CTY_JSON, KeyId, Token
from ..errors import ForbiddenValue, OpenFailed, SealyardError, Unopened
from ..formats import embedded_tokens
from ..formats import json as json_format
from ..formats.embedded_tokens import FoundToken
from ..formats.escaping import EXACT, TextPlace, written
from ..leaves import quote
from ..rules.model import Block, Item
from .fit_values import require_base64, require_text
from .key_needs import Keys

_STEPS: Final = 100


def expiry(now: float, expires: int) -> int:
    """Return when a value ends that is sealed `now` for `expires` seconds, in seconds since 1970.

    It is never earlier than said, and later by a hundredth of its life at most, or by a second.
    """
    step = max(1, expires // _STEPS)
    return -(-math.ceil(now + expires) // step) * step


Shape = Literal["json", "body", "bytes", "text", "value"]
_OfValue = Literal["sealed", "opened", "already_sealed", "plain", "kept", "in_markup", "cut"]
Outcome = Literal[_OfValue, "unsealed", "unread", "sentinel"]
"""What became of a value. `in_markup`: it opens, and stays sealed where markup cannot hold it. Of
messages: `unsealed`, nothing was there to seal; `unread`, a response that fits no block has tokens.
Of records: `sentinel`, it passed as a text that the block names.
"""


NO_TOKEN: Final = "not-a-token"  # noqa: S105 - a reason
"""Why a value does not open that was never sealed: mode `permissive` lets it pass."""
TWIN: Final = "name-twin"
"""Why a token stays in a response: a name has a second reading there. Never why all is refused."""


@dataclass(slots=True, unsafe_hash=True)  # it is never changed
class Change:
    """A span and its new bytes (None: it stays), with the outcome to count it under.

    `start` and `end` may reach beyond the token itself, to its quotes. `also` are changes elsewhere
    that come with it and are not counted.
    """

    start: int
    end: int
    text: bytes | None
    outcome: Outcome
    session: Session | None = None
    also: tuple[Change, ...] = ()


class KeysInUse:
    """The sessions of one plan, to be used for one edit after the other.

    Tokens of one conversation often follow each other, with the very same scope and key id: what
    was looked up for one is kept for the next.
    """

    __slots__ = ("_key_id", "_keys", "_refusal", "_scope", "_session", "unopened")

    def __init__(self, keys: Keys) -> None:
        """Begin with nothing looked up."""
        self._keys = keys
        self._scope: Scope | None = None
        self._key_id: KeyId | None = None
        self._session: Session | None = None
        self._refusal: str | None = None
        self.unopened: list[Unopened] = []

    def seal_for(self, scope: Scope) -> Session:
        """Return who seals for a scope."""
        return self._keys.sealing[scope]

    def open(self, token: Token, context: Context, now: float) -> tuple[Session, bytes]:
        """Return who opened a token, and the plaintext.

        Raises OpenFailed, after the same work whether or not there is a session to open with.
        """
        if token.key_id is not self._key_id or context.scope is not self._scope:
            self._look_up(context.scope, token.key_id)
        session, reason = self._session, "unknown-key"
        if session is not None:
            try:
                return session, session.open(token, context, now, refusal=self._refusal)
            except OpenFailed as error:
                reason = error.reason
        self.unopened.append(Unopened(reason, token.key_id.sid))
        raise OpenFailed(reason)

    def _look_up(self, scope: Scope, key_id: KeyId) -> None:
        keys, wanted = self._keys, (scope, key_id)
        session, decoy = keys.opening.get(wanted), keys.decoys.get(wanted)
        self._scope, self._key_id = wanted
        self._session, self._refusal = session or decoy, keys.refusals.get(wanted)


@dataclass(slots=True)
class SealEdit:
    """A value to be sealed: `token` is what it already looks to be, if it is one.

    `quoted` says that it is to stand there as a JSON string.
    """

    start: int
    end: int
    item: Item
    context: Context
    plaintext: bytes
    cty: str | None
    token: Token | None = None
    quoted: bool = True

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the sealed value.

        Raises UnfitValue where it is not what the item asks for, ValueTooLong above the field's
        `max_chars`.
        """
        item, context, token = self.item, self.context, self.token
        if token is not None and block.already_sealed != "seal":
            if block.already_sealed == "reject":
                raise ForbiddenValue(
                    "already-sealed", detail=f"{item.field}: the value is already sealed."
                )
            opened = _opened(keys, token, context, now)
            if opened is not None:
                opener, plaintext = opened
                require_text(item, token.as_text(plaintext), token.cty)
                return Change(self.start, self.end, None, "already_sealed", opener)
        if item.min_chars is not None:
            require_text(item, self.plaintext, self.cty)
        plaintext = self.plaintext
        if item.form == "base64":
            plaintext = require_base64(item, plaintext, self.cty)
        text = keys.seal_for(context.scope).seal(
            plaintext,
            context,
            cty=self.cty,
            form=item.form,
            exp=item.expires and expiry(now, item.expires),
            max_chars=item.max_chars,
            name=item.field,
        )
        if not self.quoted:
            return Change(self.start, self.end, text, "sealed")
        if self.cty is None:  # the quotes of a string stay, which spares a copy
            return Change(self.start + 1, self.end - 1, text, "sealed")
        return Change(self.start, self.end, b"".join((b'"', text, b'"')), "sealed")


@dataclass(slots=True)
class OpenEdit:
    """A value to be opened. `token` is the decoded token, or the error that decoding met.

    `shape` says what the value is: a JSON string, the whole body, the bytes that a backend decoded,
    the body as a text, or a value of a format in which everything is text. `place` says how it is
    written there.
    """

    start: int
    end: int
    context: Context
    token: Token | OpenFailed
    shape: Shape
    place: TextPlace = EXACT

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the opened value, or the old one where the block lets it stay; else raise."""
        try:
            token = self.token
            if isinstance(token, OpenFailed):
                raise token
            session, plaintext = keys.open(token, self.context, now)
            if self.shape != "bytes":
                plaintext = token.as_text(plaintext)
            if self.place is not EXACT:
                return self._written(plaintext, token.cty, session)
            if self.shape == "json":
                text = as_json(plaintext, token.cty)
            else:
                text = _as_shaped(plaintext, token.cty, self.shape)
            return Change(self.start, self.end, text, "opened", session)
        except OpenFailed as error:
            if error.reason == NO_TOKEN and _permissive(block, now):
                return Change(self.start, self.end, None, "plain")
            if block.keep_unopened or error.reason == TWIN:
                return Change(self.start, self.end, None, "kept")
            raise

    def _written(self, plaintext: bytes, cty: str | None, session: Session) -> Change:
        """Return the value as its place in markup has it, or the token where it cannot be there."""
        text = as_text(plaintext, cty)
        is_json = self.shape == "json" and cty == CTY_JSON
        new = written(text, self.place, as_json=is_json)
        if new is None:
            return Change(self.start, self.end, None, "in_markup", session)
        quoted = self.shape == "json" and not is_json
        spelled = json_format.quote(new) if quoted else new
        return Change(self.start, self.end, spelled.encode(), "opened", session)


class EmbeddedEdit(NamedTuple):
    """A token found somewhere in a string. What does not open stays; what was cut is replaced.

    `context` is None where a name that would bind the token is missing, `token` where it was cut.
    """

    found: FoundToken
    context: Context | None
    token: Token | None

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the opened value in place of the token, the placeholder, or the token."""
        one, context, token = self
        if token is None:
            return self._cut(block)
        if context is None:
            keys.unopened.append(Unopened("missing-name", token.key_id.sid))
            return Change(one.start, one.end, None, "kept")
        try:
            session, plaintext = keys.open(token, context, now)
            text = as_text(token.as_text(plaintext), token.cty)
        except OpenFailed:
            if one.trails_off:
                return self._cut(block)
            return Change(one.start, one.end, None, "kept")
        new = embedded_tokens.replacement(one, text, is_json=token.cty == CTY_JSON)
        if new is None:
            return Change(one.start, one.end, None, "in_markup", session)
        return Change(*new, "opened", session)

    def _cut(self, block: Block) -> Change:
        one = self.found
        new = embedded_tokens.replacement(one, block.placeholder, is_json=False)
        if new is None:
            return Change(one.start, one.end, None, "in_markup")
        return Change(*new, "cut")


def as_json(plaintext: bytes, cty: str | None) -> bytes:
    """Return an opened field as JSON text; raise OpenFailed where it is neither text nor JSON."""
    if cty is not None:
        as_text(plaintext, cty)
        return plaintext
    quoted = quote(plaintext)
    if quoted is None:
        raise OpenFailed("not-text")
    return quoted


def _as_shaped(plaintext: bytes, cty: str | None, shape: Shape) -> bytes:
    """Return an opened value as it is written outside JSON strings; else raise."""
    if shape == "value":
        return as_text(plaintext, cty).encode()
    if cty is not None and (shape == "text" or "/" not in cty):
        raise OpenFailed("wrong-content-type")
    return plaintext


def as_text(plaintext: bytes, cty: str | None) -> str:
    """Return an opened field as text, or as the text of its JSON; else raise OpenFailed."""
    if cty == CTY_JSON:
        try:
            json_format.validate(plaintext)
        except SealyardError:
            raise OpenFailed("not-json") from None
    elif cty is not None:
        raise OpenFailed("wrong-content-type")
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        raise OpenFailed("not-text") from None


def _opened(
    keys: KeysInUse, token: Token, context: Context, now: float
) -> tuple[Session, bytes] | None:
    """Return who opens a token, and the plaintext; None where it does not open."""
    try:
        return keys.open(token, context, now)
    except OpenFailed:
        return None


def _permissive(block: Block, now: float) -> bool:
    return block.permissive_until is not None and now < block.permissive_until

"""Edits: one span, what takes its place, and for which context.

They are named tuples, since several are made for every message: a frozen dataclass of their size
takes four times as long to make.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .context import Context
from .errors import ForbiddenValue, OpenFailed, SealyardError
from .formats import json as json_format
from .formats import tokens
from .formats.tokens import FoundToken
from .needs import Keys
from .rules import Block, Item
from .session import Session
from .token import CTY_JSON, Token

Fate = Literal["sealed", "opened", "already_sealed", "plain", "kept", "cut"]


class Change(NamedTuple):
    """What becomes of a span: its new bytes (None: it stays), and the word to count it under.

    `start` and `end` may reach beyond the token itself, to its quotes.
    """

    start: int
    end: int
    text: bytes | None
    fate: Fate
    session: Session | None = None


class SealEdit(NamedTuple):
    """A value to be sealed. `token` is what it already looks to be, if it is one."""

    start: int
    end: int
    item: Item
    context: Context
    plaintext: bytes
    cty: str | None
    quoted: bool
    token: Token | None = None

    def carry_out(self, keys: Keys, block: Block, now: float) -> Change:
        """Return the sealed value; raise ValueTooLong above the field's `max_chars`."""
        if self.token is not None and block.already_sealed != "seal":
            if block.already_sealed == "reject":
                raise ForbiddenValue(
                    "already-sealed", detail=f"{self.item.field}: the value is sealed already."
                )
            session = keys.opening.get((self.context.scope, self.token.key_id))
            if session is not None and _opens(session, self.token, self.context, now):
                return Change(self.start, self.end, None, "already_sealed", session)
        session = keys.sealing[self.context.scope]
        text = session.seal(
            self.plaintext,
            self.context,
            cty=self.cty,
            form=self.item.form,
            max_chars=self.item.max_chars,
            name=self.item.field,
        )
        return Change(self.start, self.end, b'"%b"' % text if self.quoted else text, "sealed")


class OpenEdit(NamedTuple):
    """A value to be opened. `token` is the decoded token, or the error that decoding met.

    `shape` says what the value is: a JSON string, the whole body, or a text.
    """

    start: int
    end: int
    context: Context
    token: Token | OpenFailed
    shape: Literal["json", "body", "text"]

    def carry_out(self, keys: Keys, block: Block, now: float) -> Change:
        """Return the opened value, or the old one where the block lets it stay; else raise."""
        try:
            return self._open(keys, now)
        except OpenFailed as error:
            if error.reason == "not-a-token" and _permissive(block, now):
                return Change(self.start, self.end, None, "plain")
            if block.keep_unopened:
                return Change(self.start, self.end, None, "kept")
            raise

    def _open(self, keys: Keys, now: float) -> Change:
        if isinstance(self.token, OpenFailed):
            raise self.token
        session, plaintext = _open(keys, self.token, self.context, now)
        if self.shape == "json":
            plaintext = as_json(plaintext, self.token.cty)
        elif (self.shape == "text" and self.token.cty is not None) or (
            self.shape == "body" and self.token.cty is not None and "/" not in self.token.cty
        ):
            raise OpenFailed("wrong-content-type")
        return Change(self.start, self.end, plaintext, "opened", session)


class EmbeddedEdit(NamedTuple):
    """A token found somewhere in a string. What does not open stays; what was cut is replaced.

    `context` is None where a name that would bind the token is missing, `token` where it was cut.
    """

    found: FoundToken
    context: Context | None
    token: Token | None

    def carry_out(self, keys: Keys, block: Block, now: float) -> Change:
        """Return the opened value in place of the token, the placeholder, or the token."""
        one, token = self.found, self.token
        if token is None:
            start, end, new = tokens.replacement(one, block.placeholder, is_json=False)
            return Change(start, end, new, "cut")
        if self.context is None:
            return Change(one.start, one.end, None, "kept")
        try:
            session, plaintext = _open(keys, token, self.context, now)
            text = as_text(plaintext, token.cty)
        except OpenFailed:
            return Change(one.start, one.end, None, "kept")
        start, end, new = tokens.replacement(one, text, is_json=token.cty == CTY_JSON)
        return Change(start, end, new, "opened", session)


Edit = SealEdit | OpenEdit | EmbeddedEdit


def as_json(plaintext: bytes, cty: str | None) -> bytes:
    """Return an opened field as JSON text; raise OpenFailed where it is neither text nor JSON."""
    text = as_text(plaintext, cty)
    return plaintext if cty == CTY_JSON else json_format.quote(text).encode()


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


def _open(keys: Keys, token: Token, context: Context, now: float) -> tuple[Session, bytes]:
    """Return the plaintext and who opened it.

    Raises OpenFailed, after the same work whether or not there is a session to open with.
    """
    wanted = context.scope, token.key_id
    session, decoy = keys.opening.get(wanted), keys.decoys.get(wanted)
    tried = session or decoy
    if tried is None:
        raise OpenFailed("unknown-key")
    return tried, tried.open(token, context, now, refusal=keys.refusals.get(wanted))


def _opens(session: Session, token: Token, context: Context, now: float) -> bool:
    try:
        session.open(token, context, now)
    except OpenFailed:
        return False
    return True


def _permissive(block: Block, now: float) -> bool:
    return block.permissive_until is not None and now < block.permissive_until

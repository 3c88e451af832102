"""What services do with values by the admin API: seal them, and open tokens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ...core.callers import VerifiedCaller
from ...core.crypto import token
from ...core.crypto.context import Context, Scope
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import CTY_JSON, Form, Token
from ...core.errors import OpenFailed, UnfitValue, Unopened
from ...core.rules.audience import Mask, Shown
from ...core.values.key_needs import Attempt, KeysInUse, Needs, Opening, weight
from ...core.values.spelling import as_text
from ..policy import REPORT_AFTER_SECONDS
from ..sessions.sessions import Sessions

if TYPE_CHECKING:  # imported where such lines are wanted
    from ..sessions.open_lines import OpenLines


class ToSeal(NamedTuple):
    """A value and what it is to be bound to; `json_value` says that it is a JSON text."""

    plaintext: bytes
    context: Context
    json_value: bool = False
    form: Form = "jwe"


class ToOpen(NamedTuple):
    """A token and what it must be bound to.

    `text` may also be the bytes that a backend decoded from a token in base64 form.
    """

    text: bytes
    context: Context


class OpenedValue(NamedTuple):
    """What a token holds, as the text that was sealed or the bytes of it, and its content type.

    `session` is the one that opened it.
    """

    plaintext: bytes
    cty: str | None
    session: Session


async def seal(sessions: Sessions, values: Sequence[ToSeal]) -> list[bytes]:
    """Return the token of each value; raise KeyUnavailable where a session is not available."""
    seals: Counter[Scope] = Counter()
    for one in values:
        seals[one.context.scope] += weight(len(one.plaintext))
    keys = KeysInUse(await sessions.resolve(Needs(seals)))
    return [_sealed(keys, one) for one in values]


async def open_tokens(sessions: Sessions, asked: Sequence[ToOpen]) -> list[OpenedValue]:
    """Return what the tokens hold: of all of them, or of none.

    Raises OpenFailed, whose `unopened` is what is to be reported about the first that did not open;
    KeyUnavailable where the store does not answer, or a blocking audit log cannot be written.
    """
    decoded = [(_decoded(one.text), one.context) for one in asked]
    as_bytes = [one.text.startswith(token.BASE64_MARK) for one in asked]
    wanted = frozenset((context.scope, one.key_id) for one, context in decoded)
    keys = KeysInUse(await sessions.resolve(Needs({}, wanted)))
    now = sessions.now()
    opened: list[OpenedValue] = []
    proven: Counter[Session] = Counter()
    try:
        for (one, context), raw in zip(decoded, as_bytes, strict=True):
            session, plaintext = keys.open(one, context, now)
            proven[session] += 1
            text = plaintext if raw else one.as_text(plaintext)
            opened.append(OpenedValue(text, one.cty, session))
    except OpenFailed as failed:
        failed.unopened = tuple(keys.unopened)
        raise
    sessions.remember(proven)
    return opened


def _text(one: OpenedValue, shown: Shown) -> tuple[str, bool]:
    """Return a value as a text or the mask of it, and whether that is a JSON text."""
    text, is_json = as_text(one.plaintext, one.cty), one.cty == CTY_JSON
    if not isinstance(shown, Mask):
        return text, is_json
    from ...core.values.masks import of_value  # noqa: PLC0415 - loaded with its rules

    return of_value(shown, one.plaintext, one.cty), False


def _sealed(keys: KeysInUse, one: ToSeal) -> bytes:
    cty = CTY_JSON if one.json_value else None
    plaintext = sealed_bytes(one.plaintext, one.form, json_value=one.json_value)
    session = keys.seal_for(one.context.scope, one.form)
    return session.seal(plaintext, one.context, cty=cty, form=one.form)


def sealed_bytes(value: bytes, form: Form, *, json_value: bool) -> bytes:
    """Return what is sealed of a value; raise UnfitValue where the form has no place for it."""
    if form != "base64":
        return value
    try:
        if not json_value:
            return token.from_base64(value)
    except OpenFailed:
        pass
    raise UnfitValue(
        "not-base64", detail="A value in base64 form must be base64 with padding; encode it first."
    )


def _decoded(text: bytes) -> Token:
    try:
        return token.decode_stored(text)
    except OpenFailed as failed:
        failed.unopened = (Unopened(failed.reason, b""),)
        raise


LISTENER: Final = "admin"
"""Where, for the log and the audit log, tokens were tried that did not open."""


ByListener = Mapping[str, VerifiedCaller]
"""Who somebody is at each listener that verifies the credential; nobody: anyone."""


class ValueAccess(Protocol):
    """Who may open and seal what."""

    async def callers(self, credential: str | None) -> ByListener:
        """Return whose credential it is; nobody's without one. Raises CallerUnverified."""

    def got(self, callers: ByListener, purpose: str, context: Context) -> Shown:
        """Return whether a caller gets the value or a mask.

        Raises CallerMayNotOpen, PurposeMissing.
        """

    def refuse_sealing(
        self, callers: ByListener, purpose: str, context: Context, form: Form
    ) -> None:
        """Raise CallerMayNotSeal, CallerMayNotSearch, PurposeMissing where a caller must not."""

    def admit(self, callers: ByListener) -> None:
        """Raise CallerOpensLimited where a caller must not open more."""

    def spend(self, callers: ByListener, one: Opening) -> None:
        """Count what was opened towards the limits of the caller."""


class OnBehalf(NamedTuple):
    """For whom a service asks, and what for; None: for nobody whom it can name."""

    credential: str | None = None
    purpose: str = ""


_NOBODY: Final = OnBehalf()


class ValueOperations:
    """Seals and opens with the sessions of this process; what is opened is written to `lines`."""

    access: ValueAccess | None = None
    """Who may, by the rules; None: whoever may call."""

    def __init__(self, sessions: Sessions, lines: OpenLines | None = None) -> None:
        """Begin with nothing to report."""
        self._sessions = sessions
        self._lines = lines
        self._unreported: list[tuple[tuple[Unopened, ...], Attempt]] = []

    async def seal(self, asked: Sequence[ToSeal], by: OnBehalf = _NOBODY) -> list[bytes]:
        """Do as `seal` with the sessions of this process; raises as `access` does, too."""
        if self.access is not None:
            callers = await self.access.callers(by.credential)
            for one in asked:
                self.access.refuse_sealing(callers, by.purpose, one.context, one.form)
        return await seal(self._sessions, asked)

    async def open(
        self, asked: Sequence[ToOpen], request_id: str, by: OnBehalf = _NOBODY
    ) -> list[tuple[str, bool]]:
        """Return the texts that the tokens hold, and whether each is a JSON text: all or none.

        Of a value that the caller gets as a mask, it is that. Raises OpenFailed whatever the cause,
        KeyUnavailable as `open_tokens` does, and as `access` does.
        """
        callers: ByListener = {}
        shown = list[Shown](["value"] * len(asked))
        if self.access is not None:
            callers = await self.access.callers(by.credential)
            shown = [self.access.got(callers, by.purpose, one.context) for one in asked]
            self.access.admit(callers)
        try:
            opened = await open_tokens(self._sessions, asked)
            texts = [_text(one, as_what) for one, as_what in zip(opened, shown, strict=True)]
        except OpenFailed as failed:
            unopened = failed.unopened or (Unopened(failed.reason, b""),)
            self._report_later(unopened, request_id)
            raise
        opening = Opening(
            listener=LISTENER,
            rule="",
            direction="response",
            request_id=request_id,
            caller=next(iter(callers.values()), None),
            purpose=by.purpose,
            sessions=dict.fromkeys(one.session for one in opened),
            counts=Counter(
                (one.context.field or "", "opened" if as_what == "value" else "masked")
                for one, as_what in zip(asked, shown, strict=True)
            ),
        )
        if self.access is not None:
            self.access.spend(callers, opening)
        if self._lines is not None:
            await self._lines.attempt(opening)
        return texts

    def report(self) -> None:
        """Report the tokens that did not open so far."""
        unreported, self._unreported = self._unreported, []
        for unopened, attempt in unreported:
            self._sessions.refused(unopened, attempt)

    def _report_later(self, unopened: tuple[Unopened, ...], request_id: str) -> None:
        # After the response: its time must not reveal what is reported.
        if not self._unreported:
            asyncio.get_running_loop().call_later(REPORT_AFTER_SECONDS, self.report)
        self._unreported.append((unopened, Attempt(LISTENER, "", "request", request_id)))

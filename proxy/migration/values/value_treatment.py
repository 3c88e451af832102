"""What a verb makes of one value: what the value is, and how it is written anew if it changes.

Own tokens are recognised by opening them, never by how they begin: so nothing is sealed twice, and
what a user wrote that looks like a token is told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from ...core.crypto import token
from ...core.crypto.context import Context, Scope
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import CTY_JSON, Form, KeyId, Token
from ...core.errors import (
    BodyTooLarge,
    InvalidBody,
    MissingValue,
    NotIndexable,
    OpenFailed,
    UnfitValue,
    ValueTooLong,
)
from ...core.formats.embedded_tokens import find_in_text
from ...core.values.key_needs import Keys, KeysInUse, Needs, Unrevoked
from ...core.values.spelling import as_text
from ...keys.keyring import index_secrets, poison
from ...keys.operations import token_check
from ...keys.sessions.sessions import Sessions
from ..job.model import Verb
from .cells import Stored
from .sealing import RunSessions
from .states import HOLDS_ONE, Outcome, State

if TYPE_CHECKING:  # loaded with jobs that have an index
    from ...core.search.model import FieldIndex
    from ...core.search.tags import IndexKeys

_EPHEMERAL = "ephemeral"
_New_co = TypeVar("_New_co", covariant=True)


class Value(NamedTuple):
    """A value with the token that it is, if it is one, and the contexts that it may be bound to.

    The first context is the current one, the others are former ones.
    """

    stored: Stored
    token: Token | OpenFailed | None
    contexts: tuple[Context | None, ...]


class Opened(NamedTuple):
    """What a token holds, who opened it, and by which of the contexts (0: the current one)."""

    session: Session
    text: Stored
    at: int
    context: Context


class Writer(Protocol[_New_co]):
    """How a value is written anew. `lookalikes`: what does not open is sealed too."""

    @property
    def form(self) -> Form:
        """The wire form of what is sealed."""

    @property
    def lookalikes(self) -> bool:
        """Whether what begins like a token and does not open is sealed."""

    def seal(self, value: Stored, context: Context, keys: KeysInUse, exp: int | None) -> _New_co:
        """Return the value sealed; `exp` is when it ends, in seconds since 1970.

        Raises ValueTooLong or UnfitValue where it cannot be.
        """

    def open(self, opened: Opened) -> _New_co:
        """Return the value as it was before it was sealed."""

    def tagged(
        self, value: Stored, opened: Opened | None, keys: Sequence[IndexKeys], verb: Verb
    ) -> _New_co | None:
        """Return a token with the tags that its index asks for; None where it has these.

        The verb `drop-index` asks for none, so that it needs nothing opened, and `verify` writes
        none.

        Raises ValueTooLong, UnfitValue or NotIndexable where it cannot have them.
        """


class _Indexing(Unrevoked):
    """Of sessions that a run seals under, with the index secrets of its keyring."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions that know the keyring."""
        self._sessions = sessions

    @property
    def index(self) -> Sequence[IndexKeys]:
        """What makes tags."""
        return self._sessions.index

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        """Return who seals in the equal form."""
        return self._sessions.equal(scope, seeks=seeks)


class ValueTreatment:
    """Treats values with a verb. `plan` is `seal`, whose results are not to be written."""

    def __init__(
        self, verb: Verb, sessions: Sessions, sealing: RunSessions, only: str | None = None
    ) -> None:
        """Use `sessions` to open, and `sealing` to seal; change `only` one conversation."""
        self._only = only
        self._verb: Verb = "seal" if verb == "plan" else verb
        self._sessions = sessions
        self._sealing = sealing

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._sessions.now()

    async def keys(self, values: Iterable[Value]) -> KeysInUse:
        """Return the sessions for values.

        Raises KeyUnavailable where an ephemeral session must be asked for and the store fails.
        """
        opens: set[tuple[Scope, KeyId]] = set()
        for value in values:
            if isinstance(value.token, Token):
                key_id = value.token.key_id
                opens.update((one.scope, key_id) for one in value.contexts if one is not None)
        found = await self._sessions.resolve(Needs({}, frozenset(opens)))
        standing = _Indexing(self._sessions)
        return KeysInUse(Keys(self._sealing, found.opening, found.decoys, found.refusals, standing))

    def treat(
        self, writer: Writer[_New_co], value: Value, keys: KeysInUse, now: float
    ) -> tuple[Outcome, Outcome, _New_co | None]:
        """Return what a value is, what it is after the change, and the new one if it changes."""
        opened, outcome = self._opened(value, keys, now)
        context = value.contexts[0]
        if self._only is not None and (context is None or context.scope.conversation != self._only):
            return outcome, outcome, None
        try:
            if opened is not None:
                return self._of_token(writer, value, opened, outcome, keys)
            if self._verb in {"drop-index", "verify"} and isinstance(value.token, Token):
                new = writer.tagged(value.stored, None, (), self._verb)
                if self._verb == "verify":
                    told = outcome if new is None else outcome._replace(state="untagged")
                    return told, told, None
                return outcome, outcome if new is None else Outcome("unindexed", outcome.kek), new
            return self._of_other(writer, value, outcome, keys)
        except ValueTooLong:
            outcome = Outcome("too-long", outcome.kek)
        except (UnfitValue, MissingValue, NotIndexable) as error:
            outcome = Outcome("unfit", outcome.kek, error.reason)
        return outcome, outcome, None

    def _of_token(
        self,
        writer: Writer[_New_co],
        value: Value,
        opened: Opened,
        outcome: Outcome,
        keys: KeysInUse,
    ) -> tuple[Outcome, Outcome, _New_co | None]:
        if self._verb == "open":
            after = Outcome("opened", outcome.kek, outcome.reason)
            return outcome, after, writer.open(opened)
        drops = self._verb == "drop-index"
        if drops or (self._verb in {"index", "verify"} and opened.at == 0):
            new = self._comparable(writer, value, opened, keys)
            if new is None or self._verb == "verify":
                state: State = outcome.state if new is None else "untagged"
                return (still := outcome._replace(state=state)), still, None
            return outcome, outcome._replace(state="unindexed" if drops else "indexed"), new
        context, sealed = value.contexts[0], value.token
        if self._verb != "reseal" or context is None or not isinstance(sealed, Token):
            return outcome, outcome, None
        if self._is_current(writer.form, sealed, opened):
            return outcome, outcome, None
        if writer.form in {"short", "equal"} and sealed.exp is not None:
            raise UnfitValue("short-form-has-no-end")
        new = writer.seal(opened.text, context, keys, sealed.exp)
        return outcome, Outcome("resealed", self._sealing.primary), new

    def tags(
        self, index: FieldIndex, field: str, value: Value, keys: KeysInUse, now: float
    ) -> tuple[Outcome, bytes | None]:
        """Return what a value is, and the tags that a column beside it is to hold; None: its own.

        Raises NotIndexable and UnfitValue for a value that cannot have any.
        """
        from ...core.search import tags  # noqa: PLC0415 - loaded with jobs that have an index

        opened, outcome = self._opened(value, keys, now)
        context = value.contexts[0]
        if context is None or self._only not in {None, context.scope.conversation}:
            return outcome, None
        if self._verb == "drop-index" or (self._verb == "open" and opened is not None):
            return outcome, tags.BETWEEN.encode()
        text = None
        if opened is not None and (opened.at == 0 or self._verb == "reseal"):
            text = opened.text
        elif outcome.state == "plain" and self._verb == "seal":
            text = value.stored
        if text is None:
            return outcome, None
        if text.is_json:
            raise UnfitValue("not-a-string")
        generations = keys.keys.standing.index
        found = tags.of_value(index, generations, context.scope, field, text.text)
        return outcome, tags.listed(found).encode()

    def _comparable(
        self, writer: Writer[_New_co], value: Value, opened: Opened, keys: KeysInUse
    ) -> _New_co | None:
        """Return a token as the backend is to compare it; None where it does."""
        if writer.form != "equal":
            return writer.tagged(value.stored, opened, keys.keys.standing.index, self._verb)
        sealed = value.token
        if self._verb == "drop-index" or not isinstance(sealed, Token):
            return None
        if self._is_current(writer.form, sealed, opened):
            return None
        if sealed.exp is not None:
            raise UnfitValue("short-form-has-no-end")
        return writer.seal(opened.text, opened.context, keys, None)

    def _of_other(
        self, writer: Writer[_New_co], value: Value, outcome: Outcome, keys: KeysInUse
    ) -> tuple[Outcome, Outcome, _New_co | None]:
        seals = outcome.state == "plain" or (outcome.state == "unreadable" and writer.lookalikes)
        context = value.contexts[0]
        if self._verb != "seal" or not seals or context is None:
            return outcome, outcome, None
        new = writer.seal(value.stored, context, keys, None)
        return outcome, Outcome("sealed-now", self._sealing.primary), new

    def _is_current(self, form: Form, sealed: Token, opened: Opened) -> bool:
        """Whether a token is as one that would be made now, so that no new one is."""
        if form == "equal":
            current = sealed.key_id.kek_number == index_secrets.sealing(
                self._sessions.keyring.index
            )
        else:
            current = opened.session.kek_id == self._sealing.primary
        return opened.at == 0 and current and sealed.form == form

    def _opened(self, value: Value, keys: KeysInUse, now: float) -> tuple[Opened | None, Outcome]:
        """Return the opened value, if it opens, and what the value is."""
        sealed = value.token
        if sealed is None:
            bound = self._verb != "seal" or value.contexts[0] is not None
            return None, Outcome("plain" if bound else "nameless", "", _held(value.stored))
        if isinstance(sealed, OpenFailed):
            return None, Outcome("unreadable", "", sealed.reason)
        return self._tried(value, sealed, keys, now)

    def _tried(
        self, value: Value, sealed: Token, keys: KeysInUse, now: float
    ) -> tuple[Opened | None, Outcome]:
        """Return what a token holds, if it opens for one of the contexts, and what it is."""
        reasons: list[str] = []
        for at, context in enumerate(value.contexts):
            if context is not None:
                try:
                    session, plaintext = keys.open(sealed, context, now)
                    stored = _as_stored(sealed, plaintext)
                except OpenFailed as failed:
                    reasons.append(failed.reason)
                else:
                    kek = session.kek_id or sealed.key_id.key or _EPHEMERAL
                    return Opened(session, stored, at, context), Outcome(
                        "former" if at else "sealed", kek, _held(stored)
                    )
        return None, self._unopened(value, sealed, reasons)

    def _unopened(self, value: Value, sealed: Token, reasons: Sequence[str]) -> Outcome:
        """Return what a token is that does not open."""
        if not reasons:
            return Outcome("nameless", sealed.key_id.key or _EPHEMERAL)
        if poison.planted(self._sessions.keyring, value.stored.string) is not None:
            return Outcome("poison")
        if "wrong-context" in reasons and (kek := self._misplaced(sealed, value)):
            return Outcome("misplaced", kek)
        return Outcome("unreadable", sealed.key_id.key or _EPHEMERAL, reasons[0])

    def _misplaced(self, sealed: Token, value: Value) -> str:
        """Return the KEK of a token of the same scope that is bound to something else, or ""."""
        for context in value.contexts:
            if context is not None:
                with suppress(OpenFailed):
                    return token_check.kek_of(self._sessions.keyring, sealed, context.scope)
        return ""


def token_of(stored: Stored) -> Token | OpenFailed | None:
    """Return the token that a value is, or why it is none though it begins like one."""
    text = stored.string
    return token.decoded_token(text) if token.has_prefix(text) else None


def _as_stored(sealed: Token, plaintext: bytes) -> Stored:
    """Return what a token holds; raise OpenFailed for what is no text and no JSON."""
    text = sealed.as_text(plaintext)
    as_text(text, sealed.cty)
    return Stored(text, is_json=sealed.cty == CTY_JSON)


def _held(value: Stored) -> str:
    """Return HOLDS_ONE where one is within a text, or may be: it cannot be searched; or ""."""
    try:
        return HOLDS_ONE if find_in_text(value.text, 1) else ""
    except (InvalidBody, BodyTooLarge):
        return HOLDS_ONE

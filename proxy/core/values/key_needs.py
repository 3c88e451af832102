"""What a plan asks of the keys, what it gets (the one wait of a message), and keys at work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..callers import VerifiedCaller
from ..crypto.aead import Parts
from ..crypto.context import Context, Scope
from ..crypto.session_cipher import Session
from ..crypto.token import Form, KeyId, Token
from ..errors import KeyUnavailable, OpenFailed, Unopened
from ..http.message import Direction
from .outcomes import Outcome

if TYPE_CHECKING:  # loaded with rules that have one
    from ..search.tags import IndexKeys

UNIT_BITS: Final = 14
"""A value counts once for each 16 KiB that it begins, which are 2^10 blocks of AES.

So the bound of 2^22 values of a session bounds what it seals to 2^32 blocks, too.
"""


def weight(size: int) -> int:
    """Return as how many values one of `size` bytes counts."""
    return 1 + (size >> UNIT_BITS)


@dataclass(slots=True)
class Needs:
    """The sessions that a plan needs.

    `seals` counts, for each scope, the values to be sealed, a long one as its `weight`; `opens`
    names the session of each token to be opened, in the scope that it must belong to. `seeks` says
    that tags are needed and no session for them.
    """

    seals: Mapping[Scope, int]
    opens: frozenset[tuple[Scope, KeyId]] = frozenset()
    seeks: bool = False


class Standing(Protocol):
    """Knows of sessions that have sealed whether they still may: one may be revoked meanwhile."""

    @property
    def index(self) -> Sequence[IndexKeys]:
        """What makes tags: of each generation of the index secret, the oldest first."""

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        """Return who seals in the equal form; `seeks` says that stored values are looked for.

        Raises KeyUnavailable where nobody does, IndexIncomplete where not all would be found.
        """

    def stands(self, session: Session) -> bool:
        """Whether it may seal on, and what it has sealed be acknowledged.

        False also where that is not known at the moment.
        """

    async def confirm(self, session: Session) -> None:
        """See that it stands; raise KeyUnavailable where it does not, or nobody knows."""


class Unrevoked:
    """Of sessions that nobody revokes, without an index secret."""

    @property
    def index(self) -> Sequence[IndexKeys]:
        """Nothing."""
        return ()

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        """Raise KeyUnavailable."""
        raise KeyUnavailable("no-index-secret")

    def stands(self, session: Session) -> bool:
        """Whether it may seal on: it may."""
        return True

    async def confirm(self, session: Session) -> None:
        """Do nothing."""


_UNREVOKED: Final = Unrevoked()


@dataclass(slots=True)
class Keys:
    """The sessions that were found.

    `sealing` has every scope that was asked for. `opening` lacks what cannot be had: an unknown or
    disabled KEK, a revoked or expired session. For these, `decoys` has what is tried instead: a
    session with a key that no token was sealed under, so that it fails after as much work as a
    forged token takes. `refusals` says, for the log, why each of them must not open; None for a
    session that may. `standing` knows whether those of `sealing` may seal on.
    """

    sealing: Mapping[Scope, Session]
    opening: Mapping[tuple[Scope, KeyId], Session]
    decoys: Mapping[tuple[Scope, KeyId], Session] = field(default_factory=dict)
    refusals: Mapping[tuple[Scope, KeyId], str | None] = field(default_factory=dict)
    standing: Standing = _UNREVOKED


NO_KEYS: Final = Keys({}, {})
"""For what needs none. Nothing is ever put into it."""


class Attempt(NamedTuple):
    """Where somebody tried to open tokens that did not open; `listener` and `rule` are names.

    `shuts` says whether the rule is shut where a poison token is among them.
    """

    listener: str
    rule: str
    direction: Direction
    request_id: str
    shuts: bool = False


class Opening(NamedTuple):
    """What one message opened, to be written down before it goes on.

    `listener` and `rule` are names. `caller` is who asked, None where nobody was verified;
    `purpose` is the purpose of use that was stated. `sessions` are those that opened something, and
    `counts` how many values of each field had which outcome. It may be a `piece`: a message of a
    WebSocket, or a part of a body that goes on piece by piece.
    """

    listener: str
    rule: str
    direction: Direction
    request_id: str
    caller: VerifiedCaller | None
    purpose: str
    sessions: Iterable[Session]
    counts: Mapping[tuple[str, Outcome], int]
    piece: bool = False


class KeysInUse:
    """Opens tokens with the sessions of one message, and remembers those that did not open."""

    __slots__ = ("_key_id", "_refusal", "_scope", "_session", "keys", "unopened")

    def __init__(self, keys: Keys) -> None:
        """Begin with nothing looked up."""
        self.keys = keys
        self._scope: Scope | None = None
        self._key_id: KeyId | None = None
        self._session: Session | None = None
        self._refusal: str | None = None
        self.unopened: list[Unopened] = []

    def seal_for(self, scope: Scope, form: Form = "jwe") -> Session:
        """Return who seals for a scope; raise KeyUnavailable where nobody does in this form."""
        return self.keys.standing.equal(scope) if form == "equal" else self.keys.sealing[scope]

    def stands(self, session: Session) -> bool:
        """Whether who seals may seal on."""
        return self.keys.standing.stands(session)

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
        raise self.noted(reason, token.key_id)

    def open_each(
        self, tokens: Sequence[Parts], key_id: KeyId, context: Context, now: float
    ) -> tuple[Session | None, Sequence[bytes | None], str]:
        """Do as `open` for each of some tokens in JWE form, whose one head names this key.

        None stands for one that does not open; the last is why.
        """
        if key_id is not self._key_id or context.scope is not self._scope:
            self._look_up(context.scope, key_id)
        session = self._session
        if session is None:
            return None, [None] * len(tokens), "unknown-key"
        return session, *session.open_each(tokens, context, now, self._refusal)

    def noted(self, reason: str, key_id: KeyId) -> OpenFailed:
        """Return the error for a token that does not open, and remember it."""
        self.unopened.append(Unopened(reason, key_id.sid))
        return OpenFailed(reason)

    def _look_up(self, scope: Scope, key_id: KeyId) -> None:
        """Find a session; tokens of one conversation often follow each other."""
        keys, wanted = self.keys, (scope, key_id)
        self._scope, self._key_id = wanted
        self._session = keys.opening.get(wanted) or keys.decoys.get(wanted)
        self._refusal = keys.refusals.get(wanted)

"""What operators ask of keys: each verb is declared once, and all its forms are made of that.

A verb is data and the one function that does it. Its command, its route with its part of the
OpenAPI document, the call of the workers and the event in the audit log are made of the
declaration, so that they cannot differ. A verb is added by one entry in the table of its family.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from ...config.settings import AdminScope, KeySettings
from ...core.crypto.context import Scope
from ...core.crypto.joined_names import some_from_json, to_json
from ...core.errors import OperatorError, SealyardError
from ..policy import CALL_SECONDS
from .schemas import TEXT, Schema

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ..end_to_end.package_store import PackageStore
    from ..participants.pins import PinBook
    from ..participants.private_key import Opener
    from ..participants.public_key import Kind, PublicKey
    from ..participants.registry import Participants
    from ..sessions.ledger import FenceLedger
    from ..sessions.pending_revocations import PendingRevocations
    from ..sessions.sessions import Sessions
    from .values import ValueOperations


Form = Literal[
    "scope",
    "participant",
    "name",
    "text",
    "time",
    "number",
    "choice",
    "flag",
    "jwk",
    "secret",
    "records",
]
"""What an argument is; command line and admin API know how each of them is spelled.

`scope`: tenant and conversation, of which one is required. `participant`: an id, in the path of the
route if it is a `word`. `name`: plain or joined, as JSON. `time`: seconds since 1970. `jwk`: a
public key. `secret`: a passphrase. `records`: objects, in the admin API alone.
"""
PARTS: Final = ("tenant", "conversation")
"""The members or parameters of a `scope`."""
Thing = Literal["sessions", "packages", "participants", "pins", "keyring", "values"]
Reach = Literal["one", "told", "all"]
Fresh = Literal["keyring", "this-process-until-restart"]
"""What tells an old record from the last one, once the store has lost the difference.

`keyring`: its file. Else the memory of processes that have seen the last one.
"""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a verb, by the name of the parameter of its function.

    One that is not given is left out, unless it has a `default`. A `word` stands on the command
    line without the name of an option. `only` names the one form that has it, if not both do.
    """

    name: str
    form: Form
    help: str = ""
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False
    default: Any = None
    word: bool = False
    past: bool = False
    """Whether a time must not be in the future."""
    only: Literal["", "command", "route"] = ""
    parts: tuple[Argument, ...] = ()
    """The members of each of `records`."""


@dataclass(frozen=True, slots=True)
class Route:
    """How the admin API offers a verb. Arguments are in the query of GET and DELETE, else a body.

    `name` is the operationId, `right` the scope that a credential needs; `meaning` and `schema`
    describe the answer. Of the arguments in `one_of`, a body has exactly one.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    right: AdminScope
    meaning: str
    schema: Schema
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    most_bytes: int = 0
    """The limit of the body, where it is not that of the listener."""
    incomplete: str = ""
    """What 202 means with the same body, where the verb may not reach every process."""

    @property
    def has_body(self) -> bool:
        """Whether the arguments are the members of a JSON body."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Command:
    """How the command line offers a verb: examples of its words and options, and what it says.

    `asks` is what is confirmed beforehand, a line with `{argument}`s; `says` goes to stderr
    afterwards and `prints` to stdout, with `{argument}`s and members of the answer. Without
    `prints` and `says`, the answer is printed as JSON.
    """

    examples: tuple[str, ...]
    more: str = ""
    asks: str = ""
    says: str = ""
    prints: str = ""
    receipt: bool = False
    """Whether the answer has a `receipt`, which `--receipt` writes to a file."""
    file: str = ""
    """The member of the answer that is written to a FILE, instead of being printed."""
    running: bool = False
    """Whether it asks a running Sealyard by the route, since only that has the answer."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that operators can ask for. Under its `name`, a change is in the audit log.

    `does` is called with where it acts and the arguments by name. `reach`: `one` process does it;
    the others are `told` afterwards that participants have changed; or `all` do it, the first of
    them for those behind the store as well, and `join` joins what they answer. `shared` says
    whether several workers need a store in common: `always`, or only for `ephemeral` sessions.
    """

    name: str
    summary: str
    does: Callable[..., Awaitable[Done]]
    arguments: tuple[Argument, ...]
    route: Route | None = None
    command: Command | None = None
    reach: Reach = "one"
    join: Callable[[Done, Done], Done] | None = None
    shared: Literal["always", "ephemeral", ""] = "always"
    alone: bool = False
    """Whether a command can do it without a store in common: in the keyring."""
    raises: tuple[type[SealyardError] | str, ...] = ()
    """The errors of its own, by their classes or, of an OperatorError, by their reasons."""
    logged: str = ""
    """The event of the log that reports it, if one does."""
    seconds: float = CALL_SECONDS
    """For how long a worker may take."""
    touches: frozenset[Thing] = frozenset()
    """What it reads or changes."""

    @property
    def offered(self) -> list[Argument]:
        """The arguments that its route has."""
        return [one for one in self.arguments if one.only != "command"]

    @property
    def word(self) -> str:
        """Its name in the group of commands of its family."""
        return self.name.partition(".")[2]

    def require_store(self, keys: KeySettings) -> None:
        """Raise OperatorError where it needs a store that other processes have, and has none."""
        needs = self.shared == "always" or (self.shared and keys.sessions.mode == self.shared)
        if needs and keys.store.address == "memory":
            raise OperatorError("store-not-shared")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a verb, with its arguments by name.

    `after` is what the first worker answered, where this is a call of the others.
    """

    verb: str
    given: Mapping[str, Any] = field(repr=False)
    after: Mapping[str, Any] | None = None
    request_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON, for another process."""
        given = dict(self.given)
        if (scope := given.get("scope")) is not None:
            given["scope"] = [to_json(scope.tenant), to_json(scope.conversation)]
        return {**{name: getattr(self, name) for name in self.__slots__}, "given": given}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Call:
        """Return the call that another process of the same version sent."""
        given = dict(value["given"])
        if (names := given.get("scope")) is not None:
            tenant, conversation = map(some_from_json, names)
            given["scope"] = Scope(tenant, conversation)
        return cls(**{**value, "given": given})


@dataclass(frozen=True, slots=True)
class Done:
    """What a verb has done: its answer, and what is told to the log alone.

    `failed` is the code of the error that the answer then belongs to. The route of the verb sends
    `body`, if there is one, instead of the answer as JSON, with these `headers`; it may be kept for
    `fresh_for` seconds.
    """

    answer: Mapping[str, Any] = field(repr=False)
    told: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    body: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh_for: int | None = None
    status: int = 0
    """The status of the answer, where it is not that of the route."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; `Done(**value)` is what it was."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class At:
    """Where a verb acts: the process that has the store. `clock` returns seconds since 1970."""

    sessions: Sessions
    keys: KeySettings
    write_down: Callable[..., Awaitable[None]]
    """Writes an event and its values to the audit log; raises SealyardError where that fails."""
    keep: Callable[..., None]
    """Writes into the keyring's file that what is under a name from before a time is revoked, as
    `Keyring.revoke` has it. It blocks; raises SealyardError."""
    pending: PendingRevocations | None
    participants: Callable[[], Awaitable[tuple[Participants, PinBook]]]
    """Returns the participants in the store, and which of their keys are accepted."""
    packages: PackageStore | None
    """The key packages; None where there can be none: no other process has the store, and no rule
    is end to end."""
    make: Callable[[Kind, Opener], Awaitable[tuple[PublicKey, str]]]
    """Makes a key pair: the public key, and the private one as encrypted JWK."""
    values: Callable[[], ValueOperations]
    """Returns what seals values and opens tokens for services."""
    clock: Callable[[], float]
    ledger: FenceLedger | None = None
    """Keeps what was revoked and erased, for a store that may lose it."""
    after: Mapping[str, Any] | None = None
    request_id: str = ""

    def of(self, call: Call) -> At:
        """Return the same for one call."""
        return replace(self, after=call.after, request_id=call.request_id)

    async def outlives(self, name: str, least: int, *, of_record: bool = False) -> Fresh:
        """Keep in the keyring what was taken away; return how long it stays so.

        A store that is put back to what it held before does not bring back what the keyring
        refuses.
        """
        try:
            await asyncio.to_thread(self.keep, name, least, of_record=of_record)
        except SealyardError:
            return "this-process-until-restart"
        return "keyring"


def late(module: str, function: str) -> Callable[..., Awaitable[Done]]:
    """Return a function of a module of this package that is imported when called.

    What does a verb takes memory. `serve` has imported it where its configuration has an admin API.
    """

    async def does(here: At, /, **given: Any) -> Done:  # noqa: ANN401 - the arguments of any verb
        found = import_module(f"{__package__}.{module}")
        done: Done = await getattr(found, function)(here, **given)
        return done

    return does

"""The section `keys`: keyring, store, sessions, identities and pins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ..declared.addresses import SecretReference, SecretSource
from ..declared.composed import ByShape, ListOf
from ..declared.kinds import DAY, HOUR, Choice, Duration, File, PlainText, Switch
from ..declared.section import Fields, Key, Section, listed, one_of, setting
from ..yaml.nodes import Place, Problems
from .root_kinds import ROOT_KEYS, ROOT_KINDS, ROOT_NAMES, RootSettings
from .store import STORE, STORE_SYNTAX, StoreSettings, StoreText

MOST_TTL: Final = DAY
MOST_GRACE: Final = 366 * DAY
MOST_PACKAGE_AGE: Final = 366 * DAY


@dataclass(frozen=True, slots=True)
class _Root:
    """An element of `roots`."""

    root: RootSettings = one_of(
        *ROOT_KEYS, make=lambda name, options: RootSettings(ROOT_NAMES[name], options)
    )


def _element(values: dict[str, Any], _: Fields, __: Problems) -> RootSettings | None:
    return values.get("root")


def _roots(name: str, value: Any) -> tuple[RootSettings, ...]:  # noqa: ANN401 - what a key was read to
    return value if name == "roots" else (RootSettings(ROOT_NAMES[name], value),)


def _same_root(root: RootSettings) -> object:
    """Return what two roots may not both be: a service may have several keys."""
    return root if ROOT_KINDS[root.kind].service else root.kind


ROOT: Final = Section(
    _Root, "root", "An element of `keys.keyring.roots`; one of its keys", make=_element
)


PUBLIC_KEY: Final = PlainText(
    "public key",
    re.compile(
        "MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=|MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}=="
    ),
    "is no public key of Ed25519 or P-256 in base64",
    "`openssl pkey -in signing.pem -pubout` prints it between two lines",
)


@dataclass(frozen=True, slots=True)
class KeyringSettings:
    """The keyring's file, and what opens it: `roots`, tried in their order.

    After `lease` seconds without an answer of the first root, the keys are not used any more; None:
    without end. `id` None accepts the keyring in the file, whatever its id.
    """

    file: Path = setting(File(), "The keyring file.")
    roots: tuple[RootSettings, ...] = one_of(
        *ROOT_KEYS,
        Key(
            "roots",
            ListOf(ROOT, "list of roots", distinct=_same_root),
            "Several roots, tried in this order; any one of them opens the keyring. Each needs a"
            " wrapping in the keyring's file.",
        ),
        make=_roots,
    )
    lease: float | None = setting(
        Duration(low=1, high=DAY),
        "How long the keys may be used until the first root is asked again. It is asked earlier,"
        " and an outage that ends in time is only reported. Then messages with values to seal or"
        " open get 503, and the keys are overwritten in memory. With a lease, only the first root"
        " opens the keyring for traffic; it cannot be `shares`.",
        absent="for ever",
    )
    id: str | None = setting(
        PlainText(
            "22 characters",
            re.compile(r"[A-Za-z0-9_-]{22}"),
            "is not the id of a keyring",
            "`sealyard keys list` prints it",
            secret=True,
        ),
        "The keyring's id, as `sealyard keys list` prints it. A keyring with another id is refused."
        " Required where a key service opens the keyring, which would open another one too.",
        absent="any",
    )
    signed_by: tuple[str, ...] = setting(
        ListOf(PUBLIC_KEY, "list of public keys"),
        "Public keys (SubjectPublicKeyInfo in base64, Ed25519 or P-256), one of which must have"
        " signed the keyring's file (`sealyard keys sign`). Their private keys are in no keyring,"
        " so that whoever has a copy of the keyring cannot write one that is believed.",
        default=(),
        absent="no signature is asked for",
    )


_UNPINNED: Final = (
    "needs `id` before Sealyard starts: a key service opens any keyring that was wrapped with its"
    " key; `sealyard keys init` prints the id"
)


def _check_keyring(made: KeyringSettings, fields: Fields, problems: Problems) -> None:
    if fields.get("id") is None and any(ROOT_KINDS[one.kind].service for one in made.roots):
        problems.warn(fields.place, _UNPINNED)
    if fields.get("lease") and made.roots and made.roots[0].kind == "shares":
        hint = "give it a first root that is a service"
        problems.add(fields["lease"], "cannot be renewed by `shares`, which people hand in", hint)


KEYRING: Final = Section(
    KeyringSettings,
    "keyring",
    f"`keys.keyring`; {listed(one.name for one in ROOT_KEYS)} are roots: one of them, or `roots`",
    check=_check_keyring,
)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """How session keys are made, and how long they are used, in seconds.

    With `accept_loss`, keys may exist in memory only.
    """

    mode: Literal["durable", "ephemeral"] = setting(
        Choice("durable", "ephemeral"),
        "How session keys are made: `durable` keys are derived from the keyring; `ephemeral` keys"
        " are random and exist only in the store.",
        default="durable",
        restart=True,
    )
    ttl: float = setting(
        Duration(high=MOST_TTL),
        "How long a session key seals new values.",
        default=HOUR,
        restart=True,
    )
    grace: float = setting(
        Duration(high=MOST_GRACE, zero=True),
        "How long an ephemeral session key still opens values after `ttl`.",
        default=HOUR,
        restart=True,
    )
    revocation_max_age: float = setting(
        Duration(low=1, high=HOUR),
        "How often the store is checked for revocations.",
        default=30.0,
        restart=True,
    )
    package_max_age: float = setting(
        Duration(high=MOST_PACKAGE_AGE),
        "The maximum lifetime of a key package (end to end), including those that another"
        " Sealyard made: a package that expires later is not opened. At least `ttl`.",
        default=MOST_PACKAGE_AGE,
        restart=True,
    )
    without_store: Literal["seal", "refuse"] = setting(
        Choice("seal", "refuse"),
        "What happens with values to be sealed while a store that processes share does not answer:"
        " `seal` seals on, and verbs such as `sessions revoke` then say that they did not reach"
        " this process; `refuse` refuses them with 503 after 5 seconds.",
        default="seal",
        restart=True,
    )
    accept_loss: bool = setting(
        Switch(),
        "Whether keys that exist nowhere else may be kept in `store: memory`. Each restart then"
        " loses everything that was sealed under them. With that store, required for"
        " `mode: ephemeral` and for rules with `recipients`.",
        default=False,
    )


def _check_sessions(made: SessionKeys, fields: Fields, problems: Problems) -> None:
    longest = fields.get("package_max_age")
    if longest is not None and made.package_max_age < made.ttl:
        told = "is less than `ttl`: session keys would seal longer than they open"
        problems.add(longest, told, "raise it")


SESSIONS: Final = Section(SessionKeys, "sessions", "`keys.sessions`", check=_check_sessions)


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """A participant whose private keys Sealyard may use, and what opens them.

    Without a `passphrase` it is the keyring. `file` is an encrypted private JWK that is not in the
    store.
    """

    participant: str = setting(PlainText(), "The participant's id.")
    passphrase: SecretReference | None = setting(
        SecretSource(), "The passphrase that encrypts the private keys.", absent="the keyring"
    )
    file: Path | None = setting(
        File(), "An encrypted private JWK, if the store holds only the public key.", default=None
    )


IDENTITY: Final = Section(
    IdentitySettings,
    "identity",
    "An element of `keys.identities`: a participant whose private keys Sealyard may use",
)


@dataclass(frozen=True, slots=True)
class _Pin:
    """The keys of one participant."""

    participant: str = setting(PlainText(), "The participant's id.")
    keys: tuple[str, ...] = setting(
        ListOf(
            PlainText(
                "thumbprint",
                re.compile(r"[A-Za-z0-9_-]{43}"),
                "is not a thumbprint (RFC 7638, 43 characters)",
                "`sealyard participants list` prints them",
            ),
            "list of thumbprints (RFC 7638)",
        ),
        "All their keys, including signing keys.",
    )


PIN: Final = Section(_Pin, "pin", "An element of `keys.pins.participants`")


def _by_participant(pins: tuple[_Pin, ...]) -> dict[str, frozenset[str]]:
    return {one.participant: frozenset(one.keys) for one in pins}


PinMode = Literal["off", "alert", "enforce"]
PIN_MODES: Final[tuple[PinMode, ...]] = get_args(PinMode)
"""What happens with a participant's key that has not been accepted."""


@dataclass(frozen=True, slots=True)
class PinSettings:
    """Which public keys of participants are trusted.

    `listed` has the thumbprints of keys by participant: no other keys of these participants are
    used, in any `mode`.
    """

    mode: PinMode = setting(
        Choice(*PIN_MODES),
        "What happens with a key that has not been accepted: `off` uses it, `alert` uses it and"
        " reports it, `enforce` reports it and does not use it.",
        default="alert",
    )
    listed: dict[str, frozenset[str]] = setting(
        ListOf(PIN, distinct=lambda pin: pin.participant, make=_by_participant),
        "Participants whose keys are pinned here, each once with all keys: no other keys of theirs"
        " are used, in any mode.",
        make=dict,
        name="participants",
    )


PINS: Final = Section(
    PinSettings, "pins", "`keys.pins`: the public keys of participants are pinned on first use"
)


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The keyring, the store, and how session keys are used.

    `identities` None means every participant whose private keys the keyring opens.
    `verify_reports` are files with what `sealyard migrate verify` counted; they need not exist.
    """

    keyring: KeyringSettings = setting(KEYRING, "The keyring and what opens it.")
    store: StoreSettings = setting(
        ByShape(StoreText(), mapping=STORE, how=f"{STORE_SYNTAX}, mapping"),
        "Where session records are kept.",
        default=StoreSettings(),
        absent="`memory`",
        restart=True,
    )
    sessions: SessionKeys = setting(SESSIONS, "Session keys.", default=SessionKeys())
    identities: tuple[IdentitySettings, ...] | None = setting(
        ListOf(IDENTITY, "list of identities"),
        "The participants for whom Sealyard signs and opens end-to-end values. If given, it does so"
        " for no others.",
        absent="all participants whose private keys are encrypted under the keyring",
    )
    pins: PinSettings = setting(
        PINS, "Which public keys of participants are trusted.", make=PinSettings
    )
    verify_reports: tuple[Path, ...] = setting(
        ListOf(File(), "list of paths"),
        "The signed reports of `sealyard migrate verify`: what the last ones counted is in the"
        " metrics. A file that changes, or is not there yet, is read when it has changed.",
        default=(),
    )


KEYS: Final = Section(KeySettings, "keys", "`keys`")


def check_loss(place: Place, keys: KeySettings, problems: Problems, *, end_to_end: bool) -> None:
    """Report keys that would exist in memory only, unless the file accepts their loss."""
    if keys.store.address != "memory" or keys.sessions.accept_loss:
        return
    hint = "use `store: sqlite:FILE` or Redis, or write `sessions: {accept_loss: true}`"
    lost = "are in memory only, so each restart loses everything that was sealed under them"
    if keys.sessions.mode == "ephemeral":
        problems.add(place, f"ephemeral session keys {lost}", hint)
    elif end_to_end:
        problems.add(place, f"key packages of rules with `recipients` {lost}", hint)

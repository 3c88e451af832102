"""The section `keys`: keyring, store, sessions, identities and pins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from ..schema.addresses import Files
from ..schema.keys_section import IDENTITY, KEYRING, KEYS, PIN, PINS, ROOT, SESSIONS
from ..schema.root_kinds import ROOT_KINDS
from ..schema.store_kinds import StoreChoice, store_choice
from ..schema.tables import Fields
from ..settings import (
    PACKAGE_MAX_AGE,
    PIN_MODES,
    IdentitySettings,
    KeySettings,
    PinMode,
    PinSettings,
    RootSettings,
)
from ..yaml.nodes import Place, Problems, Sequence, show
from ..yaml.scalars import (
    choice,
    duration,
    elements,
    expected,
    positive_duration,
    switch,
    text,
    texts,
)

_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def pin_settings(place: Place, problems: Problems) -> PinSettings:
    """Return the settings of pins; report what is wrong."""
    fields = Fields(place, PINS, problems)
    word = fields.read("mode", choice, PIN_MODES, problems)
    chosen = PinSettings() if word is None else PinSettings(cast("PinMode", word))
    kids: dict[str, frozenset[str]] = {}
    for one in fields.read("participants", elements, problems) or ():
        _listed(one, kids, problems)
    return PinSettings(chosen.mode, kids)


def _listed(place: Place, kids: dict[str, frozenset[str]], problems: Problems) -> None:
    fields = Fields(place, PIN, problems)
    who = fields.read("participant", text, problems)
    found = texts(fields.read("keys", elements, problems) or [], problems)
    for kid, at in found:
        if not _KID.fullmatch(kid):
            problems.add(
                at,
                f"{show(kid)} is not a thumbprint (RFC 7638, 43 characters)",
                "`sealyard participants list` prints them",
            )
    if who is None:
        return
    if who in kids:
        hint = "list all keys of a participant in one element"
        problems.add(fields["participant"], f"{show(who)} is listed twice", hint)
    kids[who] = frozenset(kid for kid, _ in found)


HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_MOST_GRACE: Final = 366 * DAY
_UNPINNED: Final = (
    "needs `id` before Sealyard starts: a key service opens any keyring that was wrapped with its"
    " key; `sealyard keys init` prints the id"
)
_KEYRING_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")


def key_settings(place: Place, files: Files, problems: Problems) -> KeySettings | None:
    """Return the settings of keys, or None after reporting what is wrong."""
    fields = Fields(place, KEYS, problems)
    identities = fields.read("identities", _identities, files, problems)
    pins = fields.read("pins", pin_settings, problems) or PinSettings()
    reports = fields.read("verify_reports", elements, problems) or []
    paths = (files.path(one, problems) for one in reports)
    store = fields.get("store")
    chosen = StoreChoice() if store is None else store_choice(store, files, problems)
    kept = fields.read("sessions", _sessions, problems) or _Kept()
    opened = fields.read("keyring", _keyring, files, problems)
    if opened is None or chosen is None:
        return None
    path, roots, keyring_id, lease = opened
    return KeySettings(
        path,
        roots,
        chosen.address,
        kept.mode,
        ttl=kept.ttl,
        grace=kept.grace,
        revocation_max_age=kept.revocation_max_age,
        package_max_age=kept.package_max_age,
        accept_loss=kept.accept_loss,
        store_options=chosen.options,
        identities=identities,
        pins=pins,
        keyring_id=keyring_id,
        lease=lease,
        verify_reports=tuple(one for one in paths if one is not None),
    )


def _identities(
    place: Place, files: Files, problems: Problems
) -> tuple[IdentitySettings, ...] | None:
    if not isinstance(place.node, Sequence):
        expected(place, "a list of identities", problems)
        return None
    found = [_identity(one, files, problems) for one in elements(place, problems)]
    return tuple(one for one in found if one is not None)


def _identity(place: Place, files: Files, problems: Problems) -> IdentitySettings | None:
    fields = Fields(place, IDENTITY, problems)
    participant = fields.read("participant", text, problems)
    passphrase = fields.read("passphrase", files.secret, problems)
    path = fields.read("file", files.path, problems)
    return None if participant is None else IdentitySettings(participant, passphrase, path)


def _keyring(
    place: Place, files: Files, problems: Problems
) -> tuple[Path, tuple[RootSettings, ...], str | None, float | None] | None:
    fields = Fields(place, KEYRING, problems)
    path = fields.read("file", files.path, problems)
    roots = _roots(fields, files, problems)
    named = fields.read("id", text, problems)
    if named is not None and not _KEYRING_ID.fullmatch(named):
        problems.add(fields["id"], "is not the id of a keyring", "`sealyard keys list` prints it")
    if fields.get("id") is None and any(ROOT_KINDS[one.kind].service for one in roots):
        problems.warn(place, _UNPINNED)
    lease = fields.read("lease", _lease, problems)
    if fields.get("lease") and roots and roots[0].kind == "shares":
        hint = "give it a first root that is a service"
        problems.add(fields["lease"], "cannot be renewed by `shares`, which people hand in", hint)
    return None if path is None or not roots else (path, roots, named, lease)


def _lease(place: Place, problems: Problems) -> float | None:
    seconds = positive_duration(place, problems, high=DAY)
    if seconds is not None and seconds < 1:
        problems.add(place, "is less than 1s, the minimum")
    return seconds


def _roots(fields: Fields, files: Files, problems: Problems) -> tuple[RootSettings, ...]:
    chosen = fields.alternative(problems)
    if chosen != "roots":
        root = _root(fields, chosen, files, problems)
        return () if root is None else (root,)
    found: dict[RootSettings, None] = {}
    for one in elements(fields["roots"], problems):
        members = Fields(one, ROOT, problems)
        root = _root(members, members.alternative(problems), files, problems)
        if root is None:
            continue
        alike = [before for before in found if before.kind == root.kind]
        if root in found or (alike and not ROOT_KINDS[root.kind].service):
            problems.add(one, "is listed twice", "delete one")
        found[root] = None
    return tuple(found)


def _root(
    fields: Fields, chosen: str | None, files: Files, problems: Problems
) -> RootSettings | None:
    for name, kind in ROOT_KINDS.items():
        if kind.key.name == chosen:
            options = kind.options().read(fields[chosen], files, problems)
            return None if options is None else RootSettings(name, options)
    return None


@dataclass(frozen=True, slots=True)
class _Kept:
    """How session keys are made, and for how many seconds they are used."""

    mode: Literal["durable", "ephemeral"] = "durable"
    ttl: float = HOUR
    grace: float = HOUR
    revocation_max_age: float = 30.0
    package_max_age: float = PACKAGE_MAX_AGE
    accept_loss: bool = False


def _sessions(place: Place, problems: Problems) -> _Kept:
    fields = Fields(place, SESSIONS, problems)
    usual = _Kept()
    mode = fields.read("mode", choice, ("durable", "ephemeral"), problems)
    ttl = fields.read("ttl", positive_duration, problems, high=DAY) or usual.ttl
    grace = fields.read("grace", duration, problems, high=_MOST_GRACE)
    age = fields.read("revocation_max_age", duration, problems, high=HOUR)
    if age is not None and age < 1:
        problems.add(fields["revocation_max_age"], "is less than 1s, the minimum")
    accepts_loss = bool(fields.read("accept_loss", switch, problems))
    longest = fields.read("package_max_age", positive_duration, problems, high=PACKAGE_MAX_AGE)
    if longest is not None and longest < ttl:
        reason = "is less than `ttl`: session keys would seal longer than they open"
        problems.add(fields["package_max_age"], reason, "raise it")
    return _Kept(
        mode="ephemeral" if mode == "ephemeral" else "durable",
        ttl=ttl,
        grace=usual.grace if grace is None else grace,
        revocation_max_age=age or usual.revocation_max_age,
        package_max_age=longest or usual.package_max_age,
        accept_loss=accepts_loss,
    )


def check_loss(place: Place, keys: KeySettings, problems: Problems, *, end_to_end: bool) -> None:
    """Report keys that would exist in memory only, unless the file accepts their loss."""
    if keys.store != "memory" or keys.accept_loss:
        return
    hint = "use `store: sqlite:FILE` or Redis, or write `sessions: {accept_loss: true}`"
    lost = "are in memory only, so each restart loses everything that was sealed under them"
    if keys.mode == "ephemeral":
        problems.add(place, f"ephemeral session keys {lost}", hint)
    elif end_to_end:
        problems.add(place, f"key packages of rules with `recipients` {lost}", hint)

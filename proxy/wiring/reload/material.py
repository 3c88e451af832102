"""What is made of a configuration before it takes effect: keyring, rule tables, TLS contexts.

All of it blocks (files, PBKDF2, PEM), so it is gathered in a thread. Errors are raised here, before
the running configuration is touched.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...config.settings import ListenerSettings, Settings, UpstreamTls
from ...config.values import files_in
from ...core.compiled.rule_table import RuleTable
from ...core.errors import KeyringError, RootUnavailable
from ...keys.keyring.file import read_keyring
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots import serving
from ...keys.keyring.roots.opening import RootRefusal
from ...keys.keyring.roots.provider import RootName
from ...process.boot_clock import since_boot
from . import needed
from .config_files import Fingerprint, fingerprint

if TYPE_CHECKING:  # loaded where a listener has callers
    from ...traffic.callers.material import CallerMaterial


@dataclass(frozen=True, slots=True)
class ListenerMaterial:
    """One listener, ready to be wired."""

    settings: ListenerSettings
    rule_table: RuleTable
    tls: ssl.SSLContext | None
    upstream_tls: ssl.SSLContext | None
    files: Fingerprint
    upstream_files: Fingerprint
    callers: CallerMaterial | None = None

    def same_tls(self, other: ListenerMaterial) -> bool:
        """Whether both use the same certificate for clients."""
        return self.settings.tls == other.settings.tls and self.files == other.files

    def same_upstream(self, other: ListenerMaterial) -> bool:
        """Whether both forward to the same upstream in the same way."""
        ours, theirs = self.settings, other.settings
        return (
            ours.upstream == theirs.upstream
            and ours.upstream_tls == theirs.upstream_tls
            and ours.limits == theirs.limits
            and ours.timeouts == theirs.timeouts
            and self.upstream_files == other.upstream_files
        )


@dataclass(frozen=True, slots=True)
class RootAnswer:
    """Which root opened the keyring, when it was asked (since boot, and 1970), and which refused.

    `away` says why no root opened it at the reload after that.
    """

    by: RootName
    refusals: tuple[RootRefusal, ...]
    at: float
    wall: float
    away: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is made of a configuration."""

    settings: Settings
    keyring: Keyring
    root: RootAnswer
    keyring_files: Fingerprint
    keyring_ms: float
    listeners: Mapping[str, ListenerMaterial]


def gather(settings: Settings, environ: Mapping[str, str], old: Material | None = None) -> Material:
    """Return the material of `settings`; parts of `old` that did not change are reused.

    Raises KeyringError or UnfitEnvironment, naming the file, where something cannot be used.
    """
    keyring, root, files, took = keyring_of(settings, environ, old)
    known = old.listeners if old is not None else {}
    listeners = {one.name: _listener(one, known.get(one.name)) for one in settings.listeners}
    needed.load(settings, [one.rule_table for one in listeners.values()])
    for one in listeners.values():
        needed.load_for_listener(one.settings, one.rule_table)
    return Material(settings, keyring, root, files, took, listeners)


def ask_root(settings: Settings, environ: Mapping[str, str]) -> tuple[Keyring, RootAnswer]:
    """Return the keyring of the file, and which root opened it; it blocks while one is asked.

    Raises RootUnavailable or KeyringError.
    """
    at, wall = since_boot(), time.time()  # of the question: a lease counts from there
    opened = read_keyring(settings.keys.keyring.file, serving(settings.keys, environ))
    return opened.keyring, RootAnswer(opened.by, opened.refusals, at, wall)


def keyring_of(
    settings: Settings, environ: Mapping[str, str], old: Material | None
) -> tuple[Keyring, RootAnswer, Fingerprint, float]:
    """Return the keyring, which root opened it, its files, and how many milliseconds that took.

    Raises KeyringError, and RootUnavailable where there is no old one to go on with.
    """
    files = fingerprint(files_in(settings.keys.keyring))
    same = old is not None and old.settings.keys == settings.keys and old.keyring_files == files
    # The old answer of a root with a lease may be of before a renewal, or of before its end.
    asked = settings.keys.keyring.lease is not None or serving(settings.keys, environ).services
    if old is not None and same and not asked:
        return old.keyring, old.root, files, 0.0
    began = time.monotonic()
    try:
        keyring, root = ask_root(settings, environ)
    except RootUnavailable as error:
        # An outage of the key service prevents no change of rules. A lease goes on to its end.
        if old is None or not same:
            raise
        return old.keyring, replace(old.root, away=error.reason), files, 0.0
    if old is None:  # a process that runs keeps its keys instead
        try:
            keyring.require_signed()
        except KeyringError as error:
            raise KeyringError(f"{settings.keys.keyring.file}: {error.reason}") from None
    empty_environment(settings, environ)
    return keyring, root, files, round((time.monotonic() - began) * 1000, 1)


def empty_environment(settings: Settings, environ: Mapping[str, str]) -> None:
    """Remove all passphrases from the environment; forget the one that opened the keyring.

    Those of participants are kept in memory: a key that is added later needs them.
    """
    if environ is not os.environ:
        return
    identities = settings.keys.identities or ()
    kept = [one.passphrase for one in identities if one.passphrase is not None]
    roots = [one for root in settings.keys.keyring.roots for one in root.secrets]
    needed, others = ({one.env for one in each if one.env is not None} for each in (kept, roots))
    if not needed | others:
        return
    from ...keys.keyring.roots import passphrase  # noqa: PLC0415 - where a variable has a secret

    for name in needed:
        passphrase.passphrase(name)
    for name in others - needed:
        passphrase.forget(name)


def _listener(settings: ListenerSettings, old: ListenerMaterial | None) -> ListenerMaterial:
    files = fingerprint(files_in(settings.tls))
    upstream_files = fingerprint(files_in(settings.upstream_tls))
    made = ListenerMaterial(
        settings,
        RuleTable(settings.rules, pass_unmatched=settings.pass_unmatched),
        _listener_tls(settings),
        _upstream_tls(settings),
        files,
        upstream_files,
        _callers(settings),
    )
    if old is None:
        return made
    return ListenerMaterial(
        settings,
        made.rule_table,
        old.tls if made.same_tls(old) else made.tls,
        old.upstream_tls if made.same_upstream(old) else made.upstream_tls,
        files,
        upstream_files,
        made.callers,
    )


def _callers(settings: ListenerSettings) -> CallerMaterial | None:
    if not settings.callers:
        return None
    from ...traffic.callers.material import gather  # noqa: PLC0415 - only for those who have it

    return gather(settings.callers, settings.tls)


def _listener_tls(settings: ListenerSettings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    from ...traffic import tls  # noqa: PLC0415 - only for those who have it

    return tls.listener_context(settings.tls)


def _upstream_tls(settings: ListenerSettings) -> ssl.SSLContext | None:
    if not settings.upstream.tls:
        return None
    from ...traffic import tls  # noqa: PLC0415 - as above

    return tls.upstream_context(settings.upstream_tls or UpstreamTls())

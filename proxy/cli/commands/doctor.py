"""`sealyard doctor`: diagnose what keeps Sealyard from working here, and how to fix it."""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import ssl
import sys
import time
from _hashlib import get_fips_mode
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import click

from ...config.settings import Address, ListenerSettings, OriginalPort, Settings, TcpAddress
from ...core import leaves
from ...core.errors import ConfigurationError, KeyringError, SealyardError
from ...core.leaves.choice import ABSENT, OFF
from ...keys.keyring import wrapping_changes
from ...keys.keyring.file import open_keyring
from ...keys.keyring.index_secrets import absent
from ...keys.keyring.roots import RootProvider, configured
from ...keys.keyring.roots.passphrase import PassphraseRoot
from ...keys.stores import check_store
from ...process import descriptors, fitness, hardening
from ...process.descriptors import Places
from ...process.fitness import Finding, Verdict
from ..policy import DOCTOR_SECONDS, SANE_CLOCK, ExitCode
from ..support import console, keyring_changes, upstream_probe
from ..support.configuration import config_option, load_configuration
from ..support.console import utc
from ..support.serve_needs import Doctor, mend
from .version import openssl, openssl_is_fips

_HERE: Final = ""


@click.command()
@config_option
@click.option(
    "--pod",
    is_flag=False,
    flag_value=_HERE,
    metavar="[FILE]",
    help="Check a pod instead: the one around this process, or the manifest in FILE, - for stdin.",
)
@console.as_json
def doctor(config: Path | None, pod: str | None, *, as_json: bool) -> None:
    """Check all that `serve` needs: machine, configuration, keys, files, store and addresses.

    \b
    sealyard doctor --config sealyard.yaml
    kubectl get pod web-1 -o yaml | sealyard doctor --pod -

    Of an injected pod, by its manifest or inside of it, it tells which proxy gets connections
    first, which ports are sealed, and what is open.

    Each finding says where the setting is, and the command that mends it or shows more. Addresses
    are bound for a moment, and files without a name are written where Sealyard writes. Asks the
    upstreams for `OPTIONS *`, which changes nothing, with the TLS handshake that messages have, and
    tries the operations of Sealyard in the store, under a name that no conversation has. Exits with
    3 if a check failed.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    findings = list(_examine(config) if pod is None else _examine_pod(pod))
    if as_json:
        console.print_json([asdict(one) for one in findings])
    else:
        for one in findings:
            click.echo(f"{one.verdict:<8} {one.check:<14} {console.printable(one.text)}")
            for word, more in (("at", one.place), ("mend", one.mend)):
                if more and one.verdict != "ok":
                    click.echo(f"{'':<23} {word}: {console.printable(more)}")
    failed = any(one.verdict == "failed" for one in findings)
    sys.exit(ExitCode.ENVIRONMENT if failed else ExitCode.OK)


def _examine_pod(manifest: str) -> Iterator[Finding]:
    from ...injector import pod_doctor  # noqa: PLC0415 - PyYAML, only where it is used
    from ...injector.manifests import documents  # noqa: PLC0415 - as above
    from ...injector.pod_reader import CannotInject  # noqa: PLC0415 - as above
    from .inject import read_manifest  # noqa: PLC0415 - as above

    if manifest == _HERE:
        return pod_doctor.examine_here(os.environ, os.geteuid())
    try:
        found = documents(read_manifest(Path(manifest)))
    except CannotInject as error:
        raise console.Failure(error.detail) from None
    return itertools.chain.from_iterable(map(pod_doctor.examine_manifest, found))


def _examine(config: Path | None) -> Iterator[Finding]:
    yield from _environment()
    try:
        loaded = load_configuration(config)
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("configuration", "failed", problem)
        return
    yield Finding("configuration", "ok", str(loaded.file))
    for warning in loaded.warnings:
        yield Finding("configuration", "warning", warning)
    doctor = Doctor(loaded, os.environ)
    yield _files(loaded.settings)
    yield from _keyring(loaded.settings, doctor)
    yield from doctor.files()
    yield from _store(loaded.settings, doctor)
    yield from doctor.addresses()
    for listener in loaded.settings.listeners:
        yield replace(
            _upstream(listener), place=doctor.place("listeners", listener.name, "upstream")
        )
        if listener.callers:
            place = doctor.place("listeners", listener.name, "callers")
            yield from (replace(one, place=place) for one in _callers(listener))


def _environment() -> Iterator[Finding]:
    environment = fitness.look()
    problems = fitness.problems(environment)
    for problem in problems:
        yield Finding("environment", "failed", problem)
    for note in fitness.notes(environment):
        yield Finding("environment", "warning", note)
    if not problems:
        versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
        yield Finding("environment", "ok", versions)
    yield _native()
    yield _modules()
    yield _memory()
    if time.time() < SANE_CLOCK:
        yield Finding(
            "clock", "failed", "The clock was never set. Set it before you seal anything."
        )
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _memory() -> Finding:
    if missing := hardening.unguarded():
        text = f"this machine does not offer {' and '.join(missing)}: a dump of the memory has keys"
        return Finding("memory", "warning", text)
    text = "no core dumps, and no other process of the user reads it; keep swap off"
    return Finding("memory", "ok", text)


def _modules() -> Finding:
    """Return which modules do what with keys in this process, and whether they run as FIPS's."""
    modes = {"cryptography": openssl_is_fips(), "Python": bool(get_fips_mode())}
    on = " and ".join(one for one, enabled in modes.items() if enabled)
    text = (
        f"{openssl()} of cryptography for tokens, keyring and signatures, {ssl.OPENSSL_VERSION} of"
        " Python for HMAC and SHA-256, the kernel for IVs and keys;"
        f" in FIPS mode: {on or 'neither'}"
    )
    return Finding("modules", "ok", text)


def _native() -> Finding:
    if leaves.NATIVE:
        return Finding("native", "ok", f"sealyard-native {leaves.NATIVE} is in use")
    text = f"sealyard-native is not in use: {leaves.REASON}"
    return Finding("native", "ok" if leaves.REASON in {OFF, ABSENT} else "warning", text)


def _files(settings: Settings) -> Finding:
    places = [
        Places(one.limits.clients, one.limits.upstream_connections) for one in settings.listeners
    ]
    limit, wanted = descriptors.highest(), descriptors.wanted(places)
    try:
        found = descriptors.fitting(places, limit)
    except SealyardError as error:
        return Finding("open files", "failed", console.message(error))
    if found is not None:
        text = f"the hard limit is {limit}, and `limits` want {wanted}: only {found} clients fit"
        return Finding("open files", "warning", text)
    return Finding("open files", "ok", f"{wanted} are enough for `limits`")


def _root(root: RootProvider) -> Iterator[Finding]:
    try:
        if isinstance(root, PassphraseRoot) and (lacks := root.fetch().weakness) is not None:
            text = f"a new one {lacks}; export the keyring under a better one, then import it"
            yield Finding("passphrase", "warning", text)
        yield from root.examine()
    except SealyardError as error:
        yield Finding(f"root {root.kind}", "failed", console.message(error))


def _keyring(settings: Settings, doctor: Doctor) -> Iterator[Finding]:
    path = settings.keys.keyring.file
    began = time.monotonic()
    try:
        roots = configured(settings.keys, os.environ)
        keyring = open_keyring(path, roots)
    except SealyardError as error:
        yield doctor.found("keyring", error, "keys", "keyring")
        return
    took = round((time.monotonic() - began) * 1000)
    primary = keyring.primary.id
    text = (
        f"{path} opens in {took} ms: {keyring.id}, generation {keyring.generation},"
        f" {len(keyring.keks)} KEK, primary {primary}"
    )
    yield Finding("keyring", "ok", text)
    try:
        keyring.require_signed()
    except KeyringError as error:
        yield doctor.found("keyring", error, "keys", "keyring")
    rules = (rule for one in settings.listeners for rule in one.rules)
    if (told := absent(keyring.index, rules)) is not None:
        yield Finding("index", "failed", told)
    for adopted in keyring.adopted:
        keks = [kek for kek in keyring.keks if kek.adopted == adopted.id]
        opening = sum(kek.state != "disabled" for kek in keks)
        text = (
            f"keyring {adopted.id} is adopted since {utc(adopted.since)}, {opening} of its"
            f" {len(keks)} KEK open: reseal what it sealed, then `sealyard keys adopt --end`"
        )
        yield Finding("adopted", "warning", text)
    for one in wrapping_changes.check(path, roots) if len(roots.listed) > 1 else ():
        verdict: Verdict = "failed" if one.reason else "ok"
        yield Finding(f"root {one.root.kind}", verdict, f"{one.root}: {one.reason or 'opens'}")
    for root in roots.listed:
        yield from _root(root)
    yield _freshness(path)
    yield from keyring_changes.findings(settings.keys, keyring)
    yield from doctor.audit_head(keyring)


def _freshness(keyring: Path) -> Finding:
    """Return whether what operators take away outlives a store that is put back."""
    if os.access(keyring.resolve().parent, os.W_OK):
        text = f"verbs keep in {keyring} what they take away: an old store does not bring it back"
        return Finding("freshness", "ok", text)
    text = (
        f"{keyring.parent} cannot be written here: verbs of this process answer `fresh:"
        " this-process-until-restart`. Run them where the keyring is kept, and distribute it"
    )
    return Finding("freshness", "warning", text)


def _store(settings: Settings, doctor: Doctor) -> Iterator[Finding]:
    examining = check_store(settings.keys, os.environ, clock=time.time, seconds=DOCTOR_SECONDS)
    place = doctor.place("keys", "store")
    for one in asyncio.run(examining):
        yield replace(one, place=place, mend=mend(one.text) if one.verdict != "ok" else "")


def _upstream(listener: ListenerSettings) -> Finding:
    address = listener.upstream.address
    if isinstance(address, OriginalPort):
        return Finding("upstream", "ok", f"{address}: known only when a client connects")
    if fault := upstream_probe.fault(listener, address):
        return Finding("upstream", "failed", f"{address}: {fault}", mend=_asking(address, listener))
    if not listener.upstream.tls and not _is_local(address):
        text = f"{address} responds without TLS: what rules do not seal is sent in plaintext"
        return Finding("upstream", "warning", text)
    return Finding("upstream", "ok", f"{address} responds")


def _callers(listener: ListenerSettings) -> Iterator[Finding]:
    """Yield whether the files of callers can be used, and whether each issuer gives its keys."""
    from ...traffic.callers.material import gather  # noqa: PLC0415 - only for those who have them

    try:
        found = gather(listener.callers, listener.tls)
    except SealyardError as error:
        yield Finding("callers", "failed", console.message(error))
        return
    for of, keys in found.keys.items():
        try:
            known = keys().keys if callable(keys) else keys
        except SealyardError as error:
            yield Finding("callers", "failed", error.reason)
        else:
            yield Finding("callers", "ok", f"{of.place}: {len(known)} keys")


def _asking(address: Address, listener: ListenerSettings) -> str:
    """Return the command that shows what an upstream answers."""
    if isinstance(address, TcpAddress):
        scheme = "https" if listener.upstream.tls else "http"
        return f"curl -v --max-time 5 {scheme}://{address}/"
    return f"curl -v --max-time 5 --unix-socket {shlex.quote(str(address.path))} http://localhost/"


def _is_local(address: Address) -> bool:
    if not isinstance(address, TcpAddress):
        return True
    return address.host in {"localhost", "::1"} or address.host.startswith("127.")

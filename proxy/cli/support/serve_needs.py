"""What `serve` needs of files, secrets, certificates and addresses, tried as `serve` does it.

Each need is met by the function that the start calls, so that no fault of a start is unknown here.
Nothing is connected to, and nothing stays open or changed.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ...admin.auth.access import read_access
from ...admin.routes.app_probes import app_probes
from ...config.load import place_of
from ...config.settings import (
    Address,
    AdminSettings,
    IdentitySettings,
    ListenerTls,
    Loaded,
    RedisSettings,
    Settings,
    TcpAddress,
    UnixAddress,
    UpstreamTls,
)
from ...core.crypto.derivation import audit_key
from ...core.errors import SealyardError
from ...keys import private_file
from ...keys.audit import file_beside, head_record
from ...keys.audit.head_record import beside as head_beside
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots import LocalRoot, configured
from ...keys.keyring.roots.passphrase import PassphraseRoot
from ...keys.policy import MAX_FILE_BYTES
from ...keys.stores import open_store
from ...process import certificates, listening
from ...process.fitness import Finding, Verdict
from ...traffic import tls
from ...traffic.downstream import sockets
from ..policy import PEM_BYTES, ROOM_BYTES
from . import console

Where = tuple[str, ...]
_OTHERS: Final = 0o027
"""The rights of a private key's file that nobody should have but its user, and a group to read."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines the needs of a configuration; `environ` has the variables that secrets are in."""

    loaded: Loaded
    environ: Mapping[str, str]

    def place(self, *where: str) -> str:
        """Return where a setting is, as `file:line:column`."""
        return place_of(self.loaded.file, self.environ, where)

    def found(self, check: str, error: SealyardError, *where: str) -> Finding:
        """Return an error of a need as a finding."""
        text = console.message(error)
        return Finding(check, "failed", text, place=self.place(*where), mend=mend(text))

    def tried(self, check: str, need: Callable[[], object], *where: str) -> Iterator[Finding]:
        """Try a need of the start; yield a finding only where it is not met."""
        try:
            need()
        except SealyardError as error:
            yield self.found(check, error, *where)

    def secrets(self) -> Iterator[Finding]:
        """Yield what is wrong with the keyring's file and what opens it; it is not opened."""
        keys = self.loaded.settings.keys
        where = "keys", "keyring"
        yield from self.tried(
            "keyring", lambda: private_file.read(keys.keyring.file, MAX_FILE_BYTES), *where
        )
        yield from self.tried("keyring", self._roots, *where)

    def _roots(self) -> None:
        """Fetch the secrets of the roots that are here; those of key services take a connection."""
        for root in configured(self.loaded.settings.keys, self.environ).listed:
            if isinstance(root, LocalRoot):
                root.fetch()

    def files(self) -> Iterator[Finding]:
        """Yield what is wrong with files and secrets beside the keyring and its root."""
        settings = self.loaded.settings
        for listener in settings.listeners:
            where = "listeners", listener.name
            if listener.tls is not None:
                yield from self._tls(listener.tls, *where, "tls")
            if listener.upstream.tls:
                one = listener.upstream_tls or UpstreamTls()
                yield from self._upstream_tls(one, *where, "upstream_tls")
        yield from self._room()
        if settings.admin is not None:
            yield from self._admin(settings.admin)
        if settings.health is not None:
            yield from self.tried("health", lambda: app_probes(self.environ), "health")
        yield from self._store(settings)
        yield from self._audit(settings)
        for identity in settings.keys.identities or ():
            need = partial(self._identity, identity)
            yield from self.tried("identities", need, "keys", "identities")

    def _tls(self, one: ListenerTls, *where: str) -> Iterator[Finding]:
        yield from self.tried("tls", lambda: tls.listener_context(one), *where)
        yield from self._exposed(one.key, *where, "key")
        yield from self._dates(one.cert, *where, "cert", chain=True)
        if one.client_ca is not None:
            yield from self._dates(one.client_ca, *where, "client_ca", chain=False)
        if one.client_crl is not None:
            yield from self._revocations(one.client_crl, *where, "client_crl")

    def _upstream_tls(self, one: UpstreamTls, *where: str) -> Iterator[Finding]:
        yield from self.tried("tls", lambda: tls.upstream_context(one), *where)
        if one.key is not None:
            yield from self._exposed(one.key, *where, "key")
        if one.cert is not None:
            yield from self._dates(one.cert, *where, "cert", chain=True)
        if one.ca is not None:
            yield from self._dates(one.ca, *where, "ca", chain=False)

    def _revocations(self, path: Path, *where: str) -> Iterator[Finding]:
        with suppress(SealyardError):  # the context says what is wrong with the file
            for verdict, text in certificates.RevocationLists(path).faults(time.time()):
                yield Finding("tls", verdict, f"{path}: {text}", place=self.place(*where))

    def _dates(self, path: Path, *where: str, chain: bool) -> Iterator[Finding]:
        command = f"openssl x509 -in {shlex.quote(str(path))} -noout -subject -issuer -dates"
        for verdict, text in certificates.faults(path, time.time(), chain=chain):
            place = self.place(*where)
            yield Finding("tls", verdict, f"{path}: {text}", place=place, mend=command)

    def _exposed(self, path: Path, *where: str) -> Iterator[Finding]:
        """Yield a warning of a private key that others may read; a group may, as Debian's does."""
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                text = f"{path}: mode {mode:04o} lets others in: they can read the private key"
                yield Finding("tls", "warning", text, place=self.place(*where), mend=mend(text))

    def _room(self) -> Iterator[Finding]:
        """Yield the folders with no room for what Sealyard writes in them."""
        settings = self.loaded.settings
        store = settings.keys.store.address
        written = [
            ("the keyring", settings.keys.keyring.file, ("keys", "keyring")),
            ("the audit log", self._audit_file, ("audit",)),
        ]
        if store.startswith("sqlite:"):
            written.append(("the store", Path(store.partition(":")[2]), ("keys", "store")))
        folders: dict[Path, list[tuple[str, tuple[str, ...]]]] = {}
        for what, path, where in written:
            folders.setdefault(path.resolve().parent, []).append((what, where))
        for folder, found in folders.items():
            fault = _no_room(folder)
            if fault is not None:
                names = " and ".join(what for what, _ in found)
                text = f"{folder}: {fault}: {names} cannot be written; free the disk"
                command = f"df -h {shlex.quote(str(folder))}"
                yield Finding("disk", "failed", text, place=self.place(*found[0][1]), mend=command)

    @property
    def _audit_file(self) -> Path:
        settings = self.loaded.settings
        return settings.audit.file if settings.audit else file_beside(settings.keys.keyring.file)

    def audit_head(self, keyring: Keyring) -> Iterator[Finding]:
        """Yield what the head record beside the audit log tells of lines that are gone."""
        path = self._audit_file
        try:
            log = path.stat()
        except OSError:
            return
        head = head_record.load_beside(path, audit_key(keyring.record_key))
        if head is None and log.st_size:
            text = f"{path}: no head record of this keyring is beside it: cut lines leave no trace"
        elif (
            head
            and (head.device, head.inode) == (log.st_dev, log.st_ino)
            and log.st_size < head.end
        ):
            text = f"{path}: its last lines are gone: line {head.seq} ended at byte {head.end}"
        else:
            return
        place = self.place("audit")
        yield Finding("audit", "warning", text, place=place, mend="sealyard audit verify")

    def _admin(self, admin: AdminSettings) -> Iterator[Finding]:
        if admin.tls is not None:
            yield from self._tls(admin.tls, "admin", "tls")
        yield from self.tried("admin", lambda: read_access(admin, self.environ), "admin")
        fault = None if admin.ladder_file is None else _unwritable(admin.ladder_file)
        if fault is not None:
            text = f"the counts of the ladder cannot be kept: {fault}"
            place = self.place("admin", "ladder_file")
            yield Finding("ladder", "warning", text, place=place, mend=mend(text))

    def _store(self, settings: Settings) -> Iterator[Finding]:
        """Try what a store needs before it is connected to: its package, files and password."""
        keys = settings.keys
        if not keys.store.address.startswith("redis"):
            return
        options = keys.store.options
        if isinstance(options, RedisSettings) and options.key is not None:
            yield from self._exposed(options.key, "keys", "store", "key")
        yield from self.tried(
            "store",
            lambda: open_store(
                keys.store.address, options=keys.store.options, environ=self.environ
            ),
            "keys",
            "store",
        )

    def _audit(self, settings: Settings) -> Iterator[Finding]:
        audit = settings.audit
        path = self._audit_file
        fault = next((one for one in map(_unwritable, (path, head_beside(path))) if one), None)
        if fault is None:
            return
        verdict: Verdict = "failed" if audit is not None and audit.block else "warning"
        text = f"the audit log cannot be written: {fault}"
        yield Finding("audit", verdict, text, place=self.place("audit"), mend=mend(text))

    def _identity(self, one: IdentitySettings) -> None:
        if one.passphrase is not None:
            PassphraseRoot(one.passphrase, self.environ).fetch()
        if one.file is not None:
            private_file.read(one.file, PEM_BYTES)

    def addresses(self) -> Iterator[Finding]:
        """Bind each address as the start does, and free it again."""
        settings = self.loaded.settings
        for listener in settings.listeners:
            yield self._bound("listen", listener.listen, "listeners", listener.name, "listen")
        if settings.admin is not None:
            yield self._bound("admin", settings.admin.listen, "admin", "listen")
        if settings.health is not None:
            yield self._bound("health", settings.health.listen, "health", "listen")

    def _bound(self, check: str, address: Address, *where: str) -> Finding:
        before = isinstance(address, UnixAddress) and address.path.is_socket()
        try:
            opened = sockets.open_sockets(address)
        except SealyardError as error:
            return self._not_bound(check, address, error, *where)
        sockets.close(opened, address)
        note = ", once the socket that a killed process left is removed" if before else ""
        return Finding(check, "ok", f"{address} is free{note}")

    def _not_bound(
        self, check: str, address: Address, error: SealyardError, *where: str
    ) -> Finding:
        text, command = error.detail, mend(error.detail)
        if isinstance(address, TcpAddress):
            user = listening.at_port(address.port) if "in use" in text else None
            if user is not None and user.serves:
                said = f"{address}: `sealyard serve` runs there (pid {user.pid}); another cannot"
                return Finding(check, "warning", said, place=self.place(*where))
            if user is not None:
                text += f" by {user}"
            if "in use" in text:
                command = f"ss -ltnp 'sport = :{address.port}'"
        return Finding(check, "failed", text, place=self.place(*where), mend=command)


def _unwritable(path: Path) -> str | None:
    """Return why nothing can be appended to a file; None where it can, or can be made."""
    try:
        if path.is_symlink() or path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK))
            return None if path.is_file() else f"{path}: not a regular file"
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not path.parent.is_dir():
        return f"{path.parent}: no such folder"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path.parent}: not writable"
    return None


def _no_room(folder: Path) -> str | None:
    """Return why a folder has no room for what is written there; None where it has.

    What else keeps a file from being written, such as rights, is told elsewhere.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(ROOM_BYTES))
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror if error.errno in _FULL else None
    return None


_PATH: Final = r"(?P<path>/[^:,]*)"
_MENDS: Final[tuple[tuple[str, str], ...]] = (
    (rf"{_PATH}: mode \d+ lets others in", "chmod 600 {path}"),
    (rf"{_PATH}: an access list lets", "setfacl -b {path}"),
    (rf"{_PATH}: belongs to another user", "chown $(id -un) {path}"),
    (rf"{_PATH}: no such folder", "mkdir -p -m 700 {path}"),
    (rf"{_PATH}: not writable", "chown $(id -un) {path}"),
    (r"environment variable (?P<path>\w+): not a token", "export {path}=$(openssl rand -hex 32)"),
    (r"environment variable (?P<path>\w+): holds no", "read -rs {path}; export {path}"),
    (rf"admin-token: {_PATH}: ", "(umask 077; openssl rand -hex 32 > {path})"),
    (rf"{_PATH}: the key is encrypted", "openssl pkey -in {path} -out PLAIN.key"),
    (rf"tls: (?:{_PATH}, )?[^:]*: the key is not", "openssl x509 -in {path} -noout -subject"),
    (rf"{_PATH}: not usable as a store: .*not a database", "ls -l {path}"),
    (r"limit of open files", "ulimit -n 65536"),
    (rf"keyring cannot be used: {_PATH}: no such file", "sealyard keys init"),
    (rf"{_PATH}: permission denied", "ls -l {path}"),
    (rf"{_PATH}: no such file", "ls -l $(dirname {path})"),
    (rf"{_PATH} exists and is not a socket", "ls -l {path}"),
    (rf"{_PATH} is in use", "ss -lxp src {path}"),
    (
        r"(?P<path>\S+):(?:\d+): (?:name or service|no address|temporary failure)",
        "getent hosts {path}",
    ),
    (r"cannot assign requested address", "ip -brief address"),
    (r":(?P<path>\d+): permission denied", "sysctl net.ipv4.ip_unprivileged_port_start"),
    (rf"(?P<before>.*?){_PATH}: ", "ls -l {path}"),
)


def mend(text: str) -> str:
    """Return the command that mends what a message says, or that shows more; empty for none."""
    for pattern, command in _MENDS:
        found = re.search(pattern, text, re.IGNORECASE)
        if found is not None:
            return command.format(
                path=shlex.quote(found["path"])
                if "path" in found.groupdict() and found["path"]
                else ""
            )
    return ""

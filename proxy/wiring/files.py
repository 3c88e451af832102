"""The files that a configuration stands on, and how to tell that one of them has changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..config.settings import AdminSettings, ListenerTls, SecretReference, Settings, UpstreamTls

Fingerprint = tuple[tuple[str, tuple[int, ...]], ...]
"""Each path with what the file system says of the file that it leads to."""


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Return what the paths lead to just now; it differs after any change of a file.

    Links are followed: Kubernetes swaps a link to publish a new ConfigMap or Secret.
    """
    return tuple((str(path), _state(path)) for path in paths)


def all_files(configuration: Path, settings: Settings) -> tuple[Path, ...]:
    """Return every file that a reload would read again."""
    found = [configuration, *keyring_files(settings)]
    for listener in settings.listeners:
        found += tls_files(listener.tls)
        found += tls_files(listener.upstream_tls)
    if settings.admin is not None:
        found += admin_files(settings.admin)
    return tuple(dict.fromkeys(found))


def admin_files(settings: AdminSettings) -> tuple[Path, ...]:
    """Return the files of those who are admitted to the admin API."""
    found = [*tls_files(settings.tls)]
    for token in settings.tokens:
        found += secret_files(token.secret)
    # Not the token for the API server, which is read for each review.
    return (*found, settings.kubernetes.ca) if settings.kubernetes is not None else tuple(found)


def keyring_files(settings: Settings) -> tuple[Path, ...]:
    """Return the keyring and what opens it."""
    return settings.keys.keyring, *secret_files(settings.keys.root.secret)


def tls_files(tls: ListenerTls | UpstreamTls | None) -> tuple[Path, ...]:
    """Return the files of one side's TLS."""
    if tls is None:
        return ()
    authority = tls.client_ca if isinstance(tls, ListenerTls) else tls.ca
    return tuple(path for path in (tls.cert, tls.key, authority) if path is not None)


def secret_files(secret: SecretReference) -> tuple[Path, ...]:
    """Return the file that a secret stands in, if it stands in one."""
    return () if secret.file is None else (secret.file,)


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (-(error.errno or 1),)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

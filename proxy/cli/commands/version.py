"""`sealyard show version`: the versions of Sealyard and its dependencies."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from ... import __version__
from ...core import leaves
from ..support import console


@click.command()
@console.as_json
def version(*, as_json: bool) -> None:
    """Print the versions of Sealyard, Python, its libraries and its native part.

    \b
    sealyard show version
    sealyard show version --json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    found = versions()
    rows = (f"{name:<15} {number or 'missing'}" for name, number in found.items())
    console.answer(found, rows, as_json=as_json)


def versions() -> dict[str, str | None]:
    """Return each name with its version, None if it is not installed."""
    return {
        "sealyard": __version__,
        "python": platform.python_version(),
        "aiohttp": _distribution("aiohttp"),
        "cryptography": _distribution("cryptography"),
        "openssl": openssl(),
        "sealyard-native": leaves.NATIVE or f"not in use: {leaves.REASON}",
    }


def _distribution(name: str) -> str | None:
    # The metadata, not the package: importing aiohttp takes longer than everything else.
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def openssl() -> str | None:
    """Return the version of the OpenSSL that `cryptography` has; None where that is missing."""
    try:
        from cryptography.hazmat.backends.openssl import backend  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    return backend.openssl_version_text()


def openssl_is_fips() -> bool:
    """Return whether that OpenSSL runs in FIPS mode."""
    from cryptography.hazmat.backends.openssl import backend  # noqa: PLC0415 - as above

    return bool(getattr(backend, "_fips_enabled", False))

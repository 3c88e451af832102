"""`sealyard version`: the versions of Sealyard and of what it stands on."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from ... import __version__
from ..support import console


@click.command()
@console.as_json
def version(*, as_json: bool) -> None:
    """Print the versions of Sealyard, Python, aiohttp, cryptography and its OpenSSL.

    \b
    sealyard version
    sealyard version --json
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    found = versions()
    if as_json:
        console.print_json(found)
        return
    for name, number in found.items():
        click.echo(f"{name:<13} {number or 'missing'}")


def versions() -> dict[str, str | None]:
    """Return each name with its version, None for what is not installed."""
    return {
        "sealyard": __version__,
        "python": platform.python_version(),
        "aiohttp": _distribution("aiohttp"),
        "cryptography": _distribution("cryptography"),
        "openssl": _openssl(),
    }


def _distribution(name: str) -> str | None:
    # Its metadata, not the package: importing aiohttp takes longer than all the rest.
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _openssl() -> str | None:
    try:
        from cryptography.hazmat.backends.openssl import backend  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    return backend.openssl_version_text()

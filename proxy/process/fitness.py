"""Tell whether this Python environment is fit to carry keys and messages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from ..core.errors import UnfitEnvironment

# The distribution whose top-level package is called `proxy` too: whichever was installed last wins.
RIVAL: Final = "proxy.py"

# Below these, requests can be smuggled or the ciphers lack what the wire format needs.
FLOORS: Final = {"aiohttp": "3.14.5", "cryptography": "50.0.2"}


@dataclass(frozen=True, slots=True)
class Environment:
    """The facts that decide: versions of distributions (None: not installed) and switches."""

    rival: str | None
    versions: dict[str, str | None]
    c_parser: bool
    optimized: bool


def look() -> Environment:
    """Return the facts about the running interpreter."""
    from aiohttp import http_parser  # noqa: PLC0415 - `sealyard version` does without aiohttp

    return Environment(
        rival=_version(RIVAL),
        versions={name: _version(name) for name in FLOORS},
        c_parser=http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy,
        optimized=sys.flags.optimize > 0,
    )


def problems(environment: Environment) -> tuple[str, ...]:
    """Return every reason not to start, each a sentence that says what to do."""
    found = []
    if environment.rival is not None:
        found.append(
            f"The distribution {RIVAL} {environment.rival} is installed and owns a package named"
            f" `proxy` too: run `pip uninstall {RIVAL}`, then install sealyard again."
        )
    for name, version in environment.versions.items():
        if version is None or _numbers(version) < _numbers(FLOORS[name]):
            found.append(f"{name} is {version or 'missing'}: install {name}>={FLOORS[name]}.")
    if not environment.c_parser:
        found.append(
            "aiohttp runs without its C parser, and its Python parser reads HTTP less strictly:"
            " unset AIOHTTP_NO_EXTENSIONS, or install aiohttp from a wheel."
        )
    return tuple(found)


def notes(environment: Environment) -> tuple[str, ...]:
    """Return what is worth knowing and stops nothing."""
    if environment.optimized:
        return ("Python runs with -O: Sealyard relies on no assert, its libraries may.",)
    return ()


def require(environment: Environment | None = None) -> None:
    """Raise UnfitEnvironment, naming every problem, unless the environment is fit."""
    found = problems(environment or look())
    if found:
        raise UnfitEnvironment("unfit-environment", detail=" ".join(found))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    release = version.partition("+")[0].split(".")
    return tuple(int(part) for part in release if part.isdecimal())

"""Checks that this Python environment is fit to handle keys and messages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal

from ..core.errors import UnfitEnvironment

# Below these, requests can be smuggled or the ciphers lack what the wire format needs.
FLOORS: Final = {"aiohttp": "3.14.5", "cryptography": "50.0.2"}

INTERCEPTION_VARIABLE: Final = "SEALYARD_INTERCEPTION"
"""What the injector gives to a sidecar: where it is set, others write parts of the pod."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The facts that are checked: versions and switches."""

    versions: dict[str, str]
    c_parser: bool
    optimized: bool


def look() -> Environment:
    """Return the facts about the running interpreter."""
    # `sealyard show version` does without them.
    import aiohttp  # noqa: PLC0415 - see above
    import cryptography  # noqa: PLC0415 - see above
    from aiohttp import http_parser  # noqa: PLC0415 - see above

    return Environment(
        versions={"aiohttp": aiohttp.__version__, "cryptography": cryptography.__version__},
        c_parser=http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy,
        optimized=sys.flags.optimize > 0,
    )


def problems(environment: Environment) -> tuple[str, ...]:
    """Return every reason not to start, each a sentence that says what to do."""
    found = []
    for name, version in environment.versions.items():
        if _numbers(version) < _numbers(FLOORS[name]):
            found.append(f"{name} is {version}: install {name}>={FLOORS[name]}.")
    if not environment.c_parser:
        found.append(
            "aiohttp runs without its C parser, and its Python parser reads HTTP less strictly:"
            " unset AIOHTTP_NO_EXTENSIONS, or install aiohttp from a wheel."
        )
    return tuple(found)


def notes(environment: Environment) -> tuple[str, ...]:
    """Return notes that do not prevent a start."""
    if environment.optimized:
        return ("Python runs with -O: Sealyard relies on no assert, its libraries may.",)
    return ()


def require(environment: Environment | None = None) -> None:
    """Raise UnfitEnvironment, naming every problem, unless the environment is fit."""
    found = problems(environment or look())
    if found:
        raise UnfitEnvironment("unfit-environment", detail=" ".join(found))


def _numbers(version: str) -> tuple[int, ...]:
    release = version.partition("+")[0].split(".")
    return tuple(int(part) for part in release if part.isdecimal())


Verdict = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `text` says what to do where it is not ok.

    A `passing` one may recover by itself and does not prevent a start. `place` is where the setting
    is, as `file:line:column`, and `mend` a command that mends it or shows more, both if known.
    """

    check: str
    verdict: Verdict
    text: str
    passing: bool = False
    place: str = ""
    mend: str = ""

"""Which form of the leaves is used: native where it is installed, fits and is not turned off."""

from __future__ import annotations

from os import environ
from typing import Final, Literal

Form = Literal["native", "python"]

EXPECTED: Final = "0.8.0"
"""The one version of `sealyard-native` that has the same functions as the files beside this one."""

OFF: Final = "SEALYARD_NATIVE=0 turns it off"
ABSENT: Final = "it is not installed"


def choose(switch: str | None, found: str | None) -> tuple[Form, str]:
    """Return the form to use, and the reason where it is Python.

    `switch` is SEALYARD_NATIVE, `found` the version of the module that can be imported.
    """
    if switch == "0":
        return "python", OFF
    if found is None:
        return "python", ABSENT
    if found != EXPECTED:
        return "python", f"{found} is installed, and {EXPECTED} is needed"
    return "native", ""


def installed() -> str | None:
    """Return the version of the native module, None where it cannot be imported."""
    try:
        import sealyard_native  # noqa: PLC0415 - it is optional
    except ImportError:
        return None
    return sealyard_native.__version__


FORM, REASON = choose(environ.get("SEALYARD_NATIVE"), installed())

NATIVE: Final = EXPECTED if FORM == "native" else ""
"""The version of the native module in use; empty without."""

"""The configuration read in a process of its own: what reads YAML does not stay beside the keys.

A process of one thread, as `serve` begins, is forked: it has no key yet. Any other starts a new
one, since a fork of it would have its keys and its connections.
"""

from __future__ import annotations

import base64
import pickle
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ... import __version__
from ...config.settings import Loaded
from ...core.errors import ConfigurationError, InternalError
from ...process import child_process
from ..policy import READING_SECONDS

_CODE: Final = __version__.encode() + b"\n"


def read(path: Path, environ: Mapping[str, str]) -> tuple[str, Loaded]:
    """Return the text of the file at `path`, and the settings in it.

    `environ` has the values of `${env:NAME}`. Raises ConfigurationError with all mistakes, and
    InternalError where the process ends without an answer.
    """
    try:
        if threading.active_count() == 1:
            made = child_process.forked(lambda: _made(path, environ))
        else:
            question = {"file": str(path), "environ": dict(environ)}
            passed = child_process.without_secrets(environ)
            answered = child_process.ask(__name__, question, passed, seconds=READING_SECONDS)
            made = base64.b64decode(answered["made"])
    except (OSError, ValueError, LookupError) as error:
        raise InternalError("configuration-not-read", detail=_why(error)) from None
    if not made:
        raise InternalError("configuration-not-read", detail="The process ended without an answer.")
    told = unpacked(made)
    assert isinstance(told, tuple)  # noqa: S101 - our own code packed it
    found, *more = told
    if not isinstance(found, Loaded):
        raise ConfigurationError(found, *more)
    return more[0], found


def packed(made: object) -> bytes:
    """Return an object for another process, which `unpacked` makes of it again."""
    return _CODE + pickle.dumps(made)


def unpacked(data: bytes) -> object:
    """Return what `packed` was given in another process of ours.

    Raises InternalError where that ran other code, as an upgrade under a running process puts
    beside it, or ended before it had written all.
    """
    if not data.startswith(_CODE):
        raise InternalError("other-version", detail="Its code was replaced: start `serve` again.")
    try:
        return pickle.loads(data[len(_CODE) :])  # noqa: S301 - what our own code wrote
    except Exception:  # noqa: BLE001 - it raises whatever classes that do not fit raise
        raise InternalError("configuration-not-read", detail="Its answer was broken.") from None


def _why(error: Exception) -> str:
    """Return what a process could not be asked for; a broken answer may hold a value."""
    if isinstance(error, TimeoutError):
        return f"It did not answer within {READING_SECONDS} s."
    return error.strerror or "" if isinstance(error, OSError) else "Its answer was broken."


def _made(path: Path, environ: Mapping[str, str]) -> bytes:
    """Return what `read` makes its result of: settings and text, or mistakes in both forms."""
    from ...config.load import parse, text_of  # noqa: PLC0415 - in that process alone

    try:
        text = text_of(path)
        found = parse(text, path, environ), text
    except ConfigurationError as error:
        return packed((error.problems, error.closed))
    return packed(found)


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    made = _made(Path(question["file"]), question["environ"])
    return {"made": base64.b64encode(made).decode()}


if __name__ == "__main__":
    child_process.answer(_answer)

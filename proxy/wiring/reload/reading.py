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
from typing import Any

from ...config.settings import Loaded
from ...core.errors import ConfigurationError, InternalError
from ...process import child_process
from ..policy import READING_SECONDS


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
        found, *more = pickle.loads(made)  # noqa: S301 - what our own code wrote, through a pipe
    except (OSError, ValueError, LookupError, EOFError, pickle.UnpicklingError):
        raise InternalError("configuration-not-read") from None
    if not isinstance(found, Loaded):
        raise ConfigurationError(found, *more)
    return more[0], found


def _made(path: Path, environ: Mapping[str, str]) -> bytes:
    """Return what `read` makes its result of: settings and text, or mistakes in both forms."""
    from ...config.load import parse, text_of  # noqa: PLC0415 - in that process alone

    try:
        text = text_of(path)
        found = parse(text, path, environ), text
    except ConfigurationError as error:
        return pickle.dumps((error.problems, error.closed))
    return pickle.dumps(found)


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    made = _made(Path(question["file"]), question["environ"])
    return {"made": base64.b64encode(made).decode()}


if __name__ == "__main__":
    child_process.answer(_answer)

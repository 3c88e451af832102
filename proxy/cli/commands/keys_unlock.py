"""`sealyard keys unlock`: one operator hands in one share."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import click

from ...config.settings.roots.shares import SharesOptions
from ..policy import UNLOCK_ANSWER_BYTES, UNLOCK_SECONDS, ExitCode
from ..support import console
from ..support.configuration import config_option, configuration_if_any
from ..support.console import FILE, Failure
from ..support.shares import typed


@click.command()
@config_option
@click.option("--socket", "path", type=FILE, help="The socket; default: that of the configuration.")
@console.as_json
def unlock(config: Path | None, path: Path | None, *, as_json: bool) -> None:
    """Hand in one share to a Sealyard that waits for them, and print how many it has then.

    \b
    sealyard keys unlock
    kubectl exec -it POD -c sealyard -- sealyard keys unlock

    The share is typed, and not shown; without a terminal it is read from stdin. It is checked at
    once: a mistyped group, a share of another keyring or of an earlier split is refused.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    place = path or _configured(config)
    before = _asked(place, do="look")
    console.say(f"{before['held']} of {before['needed']} shares so far. Yours:")
    after = _asked(place, do="hand-in", attempt=before["attempt"], share=typed())
    held, needed = after["held"], after["needed"]
    told = f"{held} of {needed} shares{'; the keyring opens now' if held >= needed else ''}"
    console.answer({"held": held, "needed": needed}, (told,), as_json=as_json)


def _configured(config: Path | None) -> Path:
    loaded = configuration_if_any(config)
    for one in loaded.settings.keys.keyring.roots if loaded is not None else ():
        if isinstance(one.options, SharesOptions):
            return Path(one.options.socket)
    raise click.UsageError("no configuration with shares: give --config or --socket")


def _asked(path: Path, **question: str) -> dict[str, Any]:
    """Return the answer at the socket; raise Failure, with its reason, for a refusal."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(UNLOCK_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps(question).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline(UNLOCK_ANSWER_BYTES))
    except FileNotFoundError:
        raise Failure(
            f"{path}: no Sealyard waits for shares there; start `sealyard serve`",
            ExitCode.ENVIRONMENT,
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no answer"
        raise Failure(f"{path}: {reason}", ExitCode.ENVIRONMENT) from None
    if "problem" in answer:
        raise Failure(answer["problem"])
    found: dict[str, Any] = answer
    return found

"""Sealyard with bad company in its process: libraries that tell all they know, at every level.

`python company.py FILE LINES serve …` runs the command beside code that puts the canaries of FILE
into whatever Python lets a library say something by, until LINES records were written. Those that
a full pipe lost do not count.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import sys
import threading
import warnings
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict

from proxy.cli import main
from proxy.cli.support import run_until_stopped
from proxy.telemetry.logs.logger import Logs

DONE = "company.done"
_babbled: Iterator[str] = iter(())
"""The secrets of `babble`."""
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_LOGGERS = tuple(map(logging.getLogger, ("aiohttp.server", "asyncio", "redis", "some.library")))


class Shown:
    """What gives itself away when it is printed."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return self.secret

    __str__ = __repr__


class Dying:
    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __del__(self) -> None:
        raise ValueError(self.secret)

    def __repr__(self) -> str:
        return self.secret


def fail(secret: str) -> None:
    """Raise an exception with a cause, a note and arguments."""
    try:
        _ = dict[str, str]()[secret]
    except KeyError as cause:
        cause.add_note(secret)
        raise RuntimeError(secret, {"key": secret.encode("latin-1")}) from cause


def records(secret: str) -> int:
    """Log the secret in every way that `logging` knows; return how many lines that makes."""
    for logger in _LOGGERS:
        for level in _LEVELS:
            logger.log(level, "value %s of %r", secret, {secret: secret}, extra={"body": secret})
            logger.log(level, secret)
        try:
            fail(secret)
        except RuntimeError:
            logger.exception(secret, stack_info=True)
    structlog.get_logger(secret).warning(secret, body=secret, exc_info=ValueError(secret))
    return len(_LOGGERS) * (2 * len(_LEVELS) + 1) + 1


def report(secret: str, logs: Logs) -> int:
    """Report the secret where no text belongs, as a mistake of our own would."""
    error, nested = ValueError(secret), {secret: [secret, (secret.encode("latin-1"),)]}
    logs.report(f"message.{secret}", body=secret)
    # None of the events that messages leave: those are counted, and must come from messages.
    logs.report("listener.started", body=secret, headers=nested, url=secret)
    logs.report("poison.opened", rule=nested, direction=secret.encode("latin-1"), shut=error)
    logs.report("store.failed", exception=error, store=Shown(secret))
    return 4


def babble(_logger: object, _level: str, entry: EventDict) -> EventDict:
    """Put secrets into an event, as a processor of an operator's would by mistake."""
    secret = next(_babbled)
    if entry["event"] == "process.hardened":
        fail(secret)
    nested = {secret: [secret.encode("latin-1")]}
    given = {"body": secret, "exc_info": ValueError(secret), secret: secret, "listener": nested}
    return {**entry, **given, "stack": secret, "dropped": Shown(secret), "level": secret}


def rarely(secret: str, loop: asyncio.AbstractEventLoop) -> None:
    """Say the secret in the ways that are too slow to be taken each time."""
    warnings.warn_explicit(secret, UserWarning, "library.py", 1, registry={})
    logging.getLogger("x").error("%d", secret)
    loop.call_soon(fail, secret)
    loop.call_exception_handler(
        {"message": secret, "exception": ValueError(secret), secret: secret}
    )
    thread = threading.Thread(target=fail, args=(secret,), name=secret)
    thread.start()
    thread.join()
    Dying(secret)

    async def failing() -> None:
        fail(secret)

    loop.create_task(failing(), name=secret)


async def tell(logs: Logs, secrets: list[str], lines: int) -> None:
    """Say secrets until so many records were written, then only that this is done."""
    loop = asyncio.get_running_loop()
    logging.getLogger().setLevel(logging.DEBUG)
    warnings.simplefilter("always")
    made = rounds = 0
    while made - logs.lost < lines:
        for secret in secrets:
            if rounds == 0:
                rarely(secret, loop)
            made += records(secret) + report(secret, logs)
            await asyncio.sleep(0)
            if made - logs.lost >= lines and rounds:
                break
        rounds += 1
        gc.collect()
    while True:  # the pipe may be full now
        logging.getLogger(DONE).error("done")
        await asyncio.sleep(0.1)


def beside(secrets: list[str], lines: int) -> None:
    """Let every command that runs do so beside `tell`."""
    alone = run_until_stopped.run

    def run(logs: Logs, command: Coroutine[object, object, Any]) -> Any:  # noqa: ANN401 - as there
        async def both() -> Any:  # noqa: ANN401 - as above
            loop = asyncio.get_running_loop()
            loop.set_debug(True)
            loop.slow_callback_duration = 0.005
            telling = loop.create_task(tell(logs, secrets, lines))
            try:
                return await command
            finally:
                telling.cancel()

        return alone(logs, both())

    run_until_stopped.run = run  # type: ignore[assignment] # the type variable says nothing here


if __name__ == "__main__":
    sys.modules["company"] = sys.modules[__name__]  # what `--log-processor company:babble` names
    told, number = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])
    _babbled = itertools.cycle(told)
    sys.argv[1:] = sys.argv[3:]
    beside(told, number)
    main()

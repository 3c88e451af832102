"""Run the `sealyard` command, as a script or as `python -m sealyard`; in a checkout, `-m proxy`."""

import os
import signal
import sys


def run() -> None:
    """Guard the memory before anything is imported that might read a secret; run the command."""
    if os.getpid() == 1:  # where the kernel drops it unless it is handled, and a stop takes long
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    from .process.hardening import guard_memory  # noqa: PLC0415 - only now: imports take long

    guard_memory()
    # frozenlist's own switch: of all that is loaded, only its C++ form needs libstdc++ (1.5 MiB).
    # aiohttp keeps middlewares and signals of the admin API in it; no message meets one.
    os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")

    from .cli import main  # noqa: PLC0415 - only now

    sys.exit(main())


if __name__ == "__main__":
    run()

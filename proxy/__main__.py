"""Run the `sealyard` command, as a script or as `python -m sealyard`; in a checkout, `-m proxy`."""

import os
import sys

from .process.hardening import guard_memory


def run() -> None:
    """Guard the memory before anything is imported that might read a secret; run the command."""
    guard_memory()
    # frozenlist's own switch: of all that is loaded, only its C++ form needs libstdc++ (1.5 MiB).
    # aiohttp keeps middlewares and signals of the admin API in it; no message meets one.
    os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")

    from .cli import main  # noqa: PLC0415 - only now

    sys.exit(main())


if __name__ == "__main__":
    run()

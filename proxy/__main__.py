"""Run the `sealyard` command, as `python -m proxy` or as the script that is installed."""

import sys

from .process.hardening import guard_memory


def run() -> None:
    """Guard the memory before anything is imported that might read a secret; run the command."""
    guard_memory()

    from .cli import main  # noqa: PLC0415 - only now

    sys.exit(main())


if __name__ == "__main__":
    run()

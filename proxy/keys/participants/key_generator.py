"""The process that makes one key pair: `python -m proxy.keys.participants.key_generator`.

Checking an RSA key of 4096 bits holds the interpreter for a quarter of a second, in whatever thread
it runs, and no message would pass meanwhile. So it is done beside the process that carries traffic.
This one lowers its priority before it imports anything: importing takes a third of a second of CPU,
which messages need more. stdin holds the request, stdout the result, both as JSON.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from ...process.hardening import guard_memory
from ..policy import NICENESS


def main() -> None:
    """Make the pair that stdin requests, with a lower CPU priority."""
    guard_memory()
    # A courtesy to the messages: where a sandbox forbids it, the pair is made all the same.
    with suppress(OSError):
        os.nice(NICENESS)
    if hasattr(os, "SCHED_BATCH"):  # Linux: on waking up it preempts no other process
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    from ...process import child_process  # noqa: PLC0415 - only now

    child_process.answer(make)


def make(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the public JWK, and the encrypted private one, of a new pair."""
    from ...core.crypto import base64url  # noqa: PLC0415 - only with a lower priority
    from ..keyring.root_secret import Passphrase, RootKey  # noqa: PLC0415 - as above
    from . import private_key  # noqa: PLC0415 - as above

    opener: Passphrase | RootKey
    if "root" in wanted:
        opener = RootKey(base64url.decode(wanted["root"].encode()))
    else:
        opener = Passphrase(wanted["passphrase"])
    public, sealed = private_key.generate(wanted["kind"], opener)
    return {"public": dict(public.required), "private": sealed}


if __name__ == "__main__":
    main()

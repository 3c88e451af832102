"""Making key pairs beside the traffic: each in a process of its own, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import json

from ...core.crypto import base64url
from ...core.errors import InternalError, KeyMakerBusy, ParticipantError
from ...process import child_process
from ..keyring.root_secret import Passphrase, RootKey
from ..policy import MOST_WAITING, PAIR_SECONDS
from . import public_key
from .public_key import Kind, PublicKey


class KeyMaker:
    """Makes one key pair at a time; at most `MOST_WAITING` more wait for their turn."""

    def __init__(self) -> None:
        """Begin with nothing to do; it belongs to one event loop."""
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def make(self, kind: Kind, opener: Passphrase | RootKey) -> tuple[PublicKey, str]:
        """Return a new public key, and its private one as encrypted JWK that `opener` opens.

        Raises ParticipantError for a weak passphrase, KeyMakerBusy, and InternalError where the
        process did not do it within `PAIR_SECONDS`.
        """
        if self._waiting > MOST_WAITING:
            raise KeyMakerBusy
        self._waiting += 1
        try:
            async with self._lock:
                return await _make(kind, opener)
        finally:
            self._waiting -= 1


def _secret_member(opener: Passphrase | RootKey) -> dict[str, str]:
    if isinstance(opener, RootKey):
        return {"root": base64url.encode(opener.reveal()).decode()}
    return {"passphrase": opener.reveal().decode()}


async def _make(kind: Kind, opener: Passphrase | RootKey) -> tuple[PublicKey, str]:
    wanted = {"kind": kind, **_secret_member(opener)}
    module = f"{__package__}.key_generator"
    process = await asyncio.create_subprocess_exec(
        *child_process.command(module), **child_process.PIPES
    )
    try:
        async with asyncio.timeout(PAIR_SECONDS):
            output, _ = await process.communicate(json.dumps(wanted).encode())
        result = json.loads(output)
    except (TimeoutError, ValueError):
        raise InternalError("key-maker-failed") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if "problem" in result:
        raise ParticipantError(result["problem"])
    return public_key.from_members(result["public"], public_key.USE[kind]), result["private"]

"""Making one key pair, in a process of its own (see key_generator_process).

Checking an RSA key of 4096 bits holds the interpreter for a quarter of a second, in whatever thread
it runs, and no message would pass meanwhile. So it is done beside the process that carries traffic,
and with a lower CPU priority. stdin holds the request, stdout the result, both as JSON.
"""

from __future__ import annotations

from typing import Any

from ...core.crypto import base64url
from ...process import child_process
from ..keyring.root_secret import Passphrase, RootKey
from . import private_key
from .public_key import USUAL


def main() -> None:
    """Make the pair that stdin requests."""
    child_process.answer(make)


def make(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the public JWK, and the encrypted private one, of a new pair."""
    public, sealed = private_key.generate(USUAL[wanted["use"]], _opener(wanted))
    return {"public": dict(public.required), "private": sealed}


def _opener(wanted: dict[str, Any]) -> Passphrase | RootKey:
    if "root" in wanted:
        return RootKey(base64url.decode(wanted["root"].encode()))
    return Passphrase(wanted["passphrase"])

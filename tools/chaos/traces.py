"""Looking for a canary where it must not be, in the forms in which it could be there."""

from __future__ import annotations

import base64

from tests.redis.server import Server


def forms(secret: bytes) -> list[bytes]:
    """Return the secret raw, in hex, and as base64 encodes it at each of three offsets."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for offset in range(3):
        padded = b"\0" * offset + secret
        encoded = base64.b64encode(padded[: len(padded) // 3 * 3])[4 if offset else 0 :]
        found += [encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")]
    return found


def dumped(server: Server) -> bytes:
    """Return all that Redis holds, as it writes it to the disk, byte for byte."""
    server.command("CONFIG", "SET", "rdbcompression", "no")
    server.command("SAVE")
    return (server.folder / "dump.rdb").read_bytes()


def holders(secrets: list[bytes], places: dict[str, bytes]) -> list[str]:
    """Return the names of the places that hold one of the secrets in any form."""
    wanted = [form for secret in secrets for form in forms(secret)]
    return [name for name, held in places.items() if any(form in held for form in wanted)]

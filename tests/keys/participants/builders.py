"""Keys and participants for tests. The keys stand in test-keys.json, for everybody to read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from proxy.core.crypto import base64url
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.participants import X_WING, public_key, x_wing
from proxy.keys.participants.participant import ParticipantKey
from proxy.keys.participants.public_key import PublicKey
from proxy.keys.stores import MemoryStore
from proxy.keys.stores.guarded import GuardedStore
from tests.keys.builders import NOW

PASSPHRASE: Final = Passphrase("a passphrase for tests")
_FILE: Final = Path(__file__).with_name("test-keys.json")
_KEYS: Final[dict[str, dict[str, Any]]] = json.loads(_FILE.read_text())["keys"]
_PRIVATE: Final = {"d", "p", "q", "dp", "dq", "qi", "priv"}


# Keys of the test in RFC 7748, section 6.1.
_X25519: Final = {
    "bob-x": (
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ),
}


# Seeds of X-Wing keys, for everybody to read.
_X_WING: Final = {"bob-xw": bytes(range(32)), "outsider-xw": bytes(range(1, 33))}


def a_private_jwk(name: str) -> dict[str, Any]:
    """Return a fixed private key, such as alice-enc, bob-sig, bob-x (X25519), bob-xw (X-Wing)."""
    if name in _X_WING:
        seed = _X_WING[name]
        public, private = (
            base64url.encode(one).decode() for one in (x_wing.public_bytes(seed), seed)
        )
        return {"kty": "AKP", "alg": X_WING, "pub": public, "priv": private}
    if name in _X25519:
        private, public = (base64url.encode(bytes.fromhex(one)).decode() for one in _X25519[name])
        return {"kty": "OKP", "crv": "X25519", "x": public, "d": private}
    return dict(_KEYS[name])


def a_public_jwk(name: str) -> dict[str, Any]:
    """Return the public part of such a key, without `use`, `alg` and `kid`."""
    return {k: v for k, v in a_private_jwk(name).items() if k not in _PRIVATE}


def a_public_key(name: str) -> PublicKey:
    return public_key.from_members(a_public_jwk(name))


def a_key(name: str = "alice-enc", *, device: str = "phone", **more: Any) -> ParticipantKey:  # noqa: ANN401 - values of any field
    return ParticipantKey(a_public_key(name), device, more.pop("created", NOW), **more)


def guarded(store: MemoryStore | None = None) -> GuardedStore:
    """Return a store of this process behind its guard."""
    return GuardedStore(
        store or MemoryStore(time.monotonic), 1.0, clock=time.monotonic, notice=lambda _: None
    )

"""What participants and their keys may say, and how long a new key takes.

It stands on nothing: the admin API reads it, while participants themselves take half a MiB.
"""

from __future__ import annotations

from typing import Final, Literal

Use = Literal["enc", "sig"]

MAX_ID_BYTES: Final = 256
MAX_REASON_CHARS: Final = 200
RSA_BITS: Final = 4096
X_WING: Final = "x-sealyard-HPKE-X-Wing"
"""The `alg` of HPKE in base mode: MLKEM768-X25519 (0x647a), HKDF-SHA256, AES-256-GCM."""
PREKEY_SECONDS: Final = 7 * 86_400
"""For how long others seal for a prekey, unless an operator says otherwise."""
PAIR_SECONDS: Final = 60.0
"""For how long the process that makes a key pair may take."""
MOST_WAITING: Final = 8
"""Callers that may wait for the key pair of another one."""

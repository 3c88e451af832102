"""What a key of a participant is for, and the name of X-Wing.

It stands on nothing: the admin API reads it, while participants themselves take half a MiB.
"""

from __future__ import annotations

from typing import Final, Literal

Use = Literal["enc", "sig"]

X_WING: Final = "x-sealyard-HPKE-X-Wing"
"""The `alg` of HPKE in base mode: MLKEM768-X25519 (0x647a), HKDF-SHA256, AES-256-GCM."""

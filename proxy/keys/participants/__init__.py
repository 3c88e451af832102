"""Participants: parties with key pairs of their own, and what the store keeps of them."""

from __future__ import annotations

from typing import Final, Literal

Use = Literal["enc", "sig"]

X_WING: Final = "x-sealyard-HPKE-X-Wing"
"""The `alg` of HPKE in base mode: MLKEM768-X25519 (0x647a), HKDF-SHA256, AES-256-GCM."""

"""Calls about participants, also as they travel to a worker, and what they may say.

It stands on nothing: the admin API reads it, while participants themselves take half a MiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

ParticipantAction = Literal["find", "add", "rotate", "revoke", "expire", "accept", "private"]
Use = Literal["enc", "sig"]

MAX_ID_BYTES: Final = 256
MAX_REASON_CHARS: Final = 200
RSA_BITS: Final = 4096
X_WING: Final = "x-sealyard-HPKE-X-Wing"
"""The `alg` of HPKE in base mode: MLKEM768-X25519 (0x647a), HKDF-SHA256, AES-256-GCM."""


@dataclass(frozen=True, slots=True)
class ParticipantCall:
    """A call about a participant. Times are seconds since 1970, 0 where there is none.

    For `add` and `rotate`: the public `jwk` that they made themselves, or else what encrypts the
    private key of a new pair: the `passphrase`, or the `keyring`. `seconds` is the grace of
    `rotate` and the time of `expire`. `kid` names the key of the other actions.
    """

    action: ParticipantAction
    participant: str
    device: str = "main"
    use: Use = "enc"
    expires: int = 0
    jwk: Mapping[str, Any] | None = None
    passphrase: str | None = field(default=None, repr=False)
    keyring: bool = False
    kid: str = ""
    reason: str = ""
    seconds: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON, for another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ParticipantCall:
        """Return the call that another process of the same version sent."""
        return cls(**value)

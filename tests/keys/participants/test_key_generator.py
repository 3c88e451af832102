from __future__ import annotations

import pytest

from proxy.core.errors import ParticipantError
from proxy.keys.participants import key_generator, private_key, public_key

from .builders import PASSPHRASE


def test_a_pair_is_made_as_asked() -> None:
    made = key_generator.make({"kind": "Ed25519", "passphrase": PASSPHRASE.reveal().decode()})
    public = public_key.from_members(made["public"])

    assert public.use == "sig"
    assert private_key.unseal(made["private"], PASSPHRASE, public)


def test_a_weak_passphrase_makes_none() -> None:
    with pytest.raises(ParticipantError):
        key_generator.make({"kind": "Ed25519", "passphrase": "short"})

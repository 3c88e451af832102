"""What a reload reads again: the keyring, where its root has a lease or a file has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load
from proxy.core.errors import KeyUnavailable
from proxy.wiring.reload.material import Material, gather
from tests.scenarios.rig import a_configuration, write_keys


def gathered(folder: Path, keyring_more: str = "") -> Material:
    """Return the material of a configuration with a root key in a file."""
    write_keys(folder)
    text = a_configuration(3000, admin=9901, health=15021)
    root = "key: {file: root.key}"
    (folder / "sealyard.yaml").write_text(text.replace(root, f"{root}{keyring_more}"))
    return gather(load(folder / "sealyard.yaml", {}).settings, {})


def test_a_keyring_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    before = gathered(tmp_path)
    again = gather(before.settings, {}, before)

    assert again.keyring is before.keyring
    assert again.root is before.root


def test_the_root_of_a_lease_is_asked_at_each_reload(tmp_path: Path) -> None:
    """What it answered before a renewal would take the lease back to where it began."""
    before = gathered(tmp_path, ", lease: 1h")
    again = gather(before.settings, {}, before)

    assert again.root.at > before.root.at


def test_a_reload_after_the_end_of_a_lease_does_not_bring_back_keys_that_are_gone(
    tmp_path: Path,
) -> None:
    before = gathered(tmp_path, ", lease: 1h")
    copy = bytes(bytearray(before.keyring.primary.key.reveal()))  # its bytes are overwritten
    before.keyring.give_up()
    with pytest.raises(KeyUnavailable):
        before.keyring.primary.key.reveal()

    assert gather(before.settings, {}, before).keyring.primary.key.reveal() == copy

"""A keyring that operators sign, and a thief with every key of it, before a process that runs."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from proxy.config.settings import SecretReference
from proxy.keys.keyring import file, signatures
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import FileRoot, create_root_file
from tests.scenarios.rig import backend, command, environment, served
from tests.scenarios.root_scenes import make_keyring
from tests.scenarios.test_roots import send, until


class Operator:
    """Has the root key in a file, and the signing key elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, folder.parent / "signing.pem"
        create_root_file(folder / "root.key", random=os.urandom)
        self.root = FileRoot(SecretReference(file=folder / "root.key"))
        self.keyring = make_keyring(folder, self.root)
        private = Ed25519PrivateKey.generate()
        text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key.write_bytes(text)
        self.key.chmod(0o600)
        der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = base64.b64encode(der).decode()

    @property
    def path(self) -> Path:
        return self.folder / "keyring.jwe"

    def sign(self) -> None:
        form = file.read_form(self.path)
        file.add_signature(self.path, form, signatures.sign(form.head.text(), self.key, None)[0])

    def change(self, how: Callable[[Keyring], Keyring]) -> None:
        """Change the file, as whoever has the root key can."""
        file.update_keyring(self.path, self.root, how)


def sealing(name: str) -> Callable[[Keyring], Keyring]:
    """Return a change that seals under a new KEK."""
    return lambda keyring: keyring.add(name, now=int(time.time()), random=os.urandom).promote(name)


async def test_a_file_made_with_every_key_of_an_old_copy_is_not_taken(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    operator = Operator(mine)
    operator.sign()
    old_copy = mine / "old.jwe"
    shutil.copy2(operator.path, old_copy)
    more = f"key: {{file: root.key}}, signed_by: ['{operator.public}']"
    async with backend() as behind:
        with served(mine, behind.port, keyring_more=more) as running:
            await until(running, 200)
            assert (await send(running))[0] == 200

            operator.change(sealing("planted"))
            gone = "A" * 22
            operator.change(lambda one: one.after(99).revoke(gone, 7))
            told = await running.event("keyring.unsigned")
            assert told["generation"] == 1
            await until(running, 200, "it is not signed")
            assert (await send(running))[0] == 200
            text = await running.metrics()
            assert 'sealyard_kek_state{kek="k1",state="primary"} 1.0' in text
            assert 'sealyard_keyring_state{state="unsigned"} 1.0' in text
            assert "planted" not in text

            # The thief's file, signed by mistake, follows from states that nobody has.
            planted = operator.path.read_bytes()
            shutil.copy2(old_copy, operator.path)
            operator.change(sealing("k2"))
            operator.sign()
            await running.event("config.loaded", 3)
            await until(running, 200, "primary k2")
            operator.path.write_bytes(planted)
            operator.sign()
            await running.event("keyring.unsigned", 2)
            await until(running, 200, "does not follow")
            assert (await send(running))[0] == 200
            assert 'kek="k2",state="primary"} 1.0' in await running.metrics()


async def test_no_process_starts_with_a_file_that_nobody_signed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    operator = Operator(mine)
    more = f"key: {{file: root.key}}, signed_by: ['{operator.public}']"
    async with backend() as behind:
        operator.sign()
        with served(mine, behind.port, keyring_more=more) as running:
            await until(running, 200)
        operator.change(sealing("k2"))
        process = await asyncio.create_subprocess_exec(
            *command(mine),
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 3, out
        assert b"no key of keys.keyring.signed_by signed it" in out
        operator.sign()
        with served(mine, behind.port, keyring_more=more) as running:
            await until(running, 200, "primary k2")

"""A keyring under each kind of root, with a real service where there is one, ready to be served."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.aws_kms import AwsKmsOptions
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import FileRoot, PassphraseRoot, RootProvider, Roots, create_root_file
from proxy.keys.keyring.roots.aws_kms import AwsKmsRoot
from tests.keys.keyring.roots import openbao
from tests.kms_double import ROLE_SECRETS, kms_double
from tests.softhsm import a_token


@dataclass(frozen=True)
class RootScene:
    """A keyring in `folder`, the root that made it, and how a configuration names that.

    `secrets` are what opens it: all but those that a service gives are in files of the folder.
    `withdraw` takes the key away where it is, for a kind whose secret is not in those files.
    `away` and `back` let the service of a kind be away for a while.
    `leaked` is the root of who has its secret, where `made_by` is another one.
    """

    folder: Path
    keyring: Keyring
    made_by: RootProvider
    root: str
    secrets: tuple[bytes, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    withdraw: Callable[[], object] | None = None
    away: Callable[[], object] | None = None
    back: Callable[[], object] | None = None
    leaked: RootProvider | None = None

    @property
    def roots(self) -> Roots:
        """The root with the pin of the keyring."""
        return Roots((self.made_by,), self.keyring.id)

    @property
    def thief(self) -> RootProvider:
        """The root with a secret that has leaked."""
        return self.leaked or self.made_by


def make_keyring(folder: Path, *roots: RootProvider) -> Keyring:
    """Make a keyring in the folder that each of these roots opens."""
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, Roots(roots))
    return keyring


@contextmanager
def file_scene(folder: Path) -> Iterator[RootScene]:
    """A root key in a file."""
    create_root_file(folder / "root.key", random=os.urandom)
    text = (folder / "root.key").read_bytes().strip()
    root = FileRoot(SecretReference(file=folder / "root.key"))
    yield RootScene(folder, make_keyring(folder, root), root, "key: {file: root.key}", (text,))


@contextmanager
def passphrase_scene(folder: Path) -> Iterator[RootScene]:
    """A passphrase in a file."""
    secret, text = folder / "passphrase", os.urandom(20).hex()
    secret.touch(0o600)
    secret.write_text(text)
    root = PassphraseRoot(SecretReference(file=secret), {})
    configured = "passphrase: {file: passphrase}"
    yield RootScene(folder, make_keyring(folder, root), root, configured, (text.encode(),))


@contextmanager
def aws_scene(folder: Path) -> Iterator[RootScene]:
    """AWS KMS by the role of a service account: a double of ours, asked over TLS."""
    token, text = folder / "role.token", os.urandom(20).hex()
    token.write_text(text)
    variables = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/sealyard",
    }
    with kms_double(folder / "ca.pem") as kms:
        address = f"{kms.url}/"
        options = AwsKmsOptions("alias/sealyard", "eu-central-1", address, address, kms.ca)
        root = AwsKmsRoot(options, variables)
        configured, secrets = f"aws-kms: {kms.configuration}", (text.encode(), *ROLE_SECRETS)
        made = make_keyring(folder, root)
        withdraw = partial(setattr, kms, "refuses", "DisabledException")
        handles = withdraw, kms.stop, kms.start
        yield RootScene(folder, made, root, configured, secrets, variables, *handles)


@contextmanager
def vault_scene(folder: Path) -> Iterator[RootScene]:
    """OpenBao, asked over TLS with a token in a file."""
    if not openbao.PROGRAM.exists():  # which is in .venv-openbao
        pytest.skip("no OpenBao here: `./dev test tests/scenarios` installs it")
    (folder / "openbao").mkdir()
    with openbao.running(folder / "openbao") as server:
        maker = server.root(server.login(folder / "maker.token", "maker"))
        server.login(folder / "token", "opener")
        authority = server.folder / "ca.pem"
        address = f"address: '{server.tls_url}', ca: {authority}, key: {openbao.KEY}"
        secrets = tuple((folder / name).read_bytes().strip() for name in ("maker.token", "token"))
        configured = f"vault: {{{address}, token: {{file: token}}}}"
        made = make_keyring(folder, maker)
        handles = server.delete_key, server.seal, server.unseal
        yield RootScene(folder, made, maker, configured, secrets, {}, *handles)


@contextmanager
def token_scene(folder: Path) -> Iterator[RootScene]:
    """A token of SoftHSM."""
    token = a_token(folder / "hsm", folder / "pin")
    options = token.options
    configured = (
        f"pkcs11: {{module: {options.module}, token: {options.token}, serial: '{options.serial}',"
        f" key: {options.key}, pin: {{file: pin}}, environment: [{options.environment[0]}]}}"
    )
    root = token.root()
    made, secrets = make_keyring(folder, root), (token.pin.encode(),)
    handles = partial(token.remove, options.key), token.pull_out, token.put_in
    yield RootScene(folder, made, root, configured, secrets, {}, *handles)


SCENES: Final[Mapping[str, Callable[[Path], AbstractContextManager[RootScene]]]] = {
    "file": file_scene,
    "passphrase": passphrase_scene,
    "aws-kms": aws_scene,
    "vault": vault_scene,
    "pkcs11": token_scene,
}

"""Drills of tokens and shares: an HSM away, a wrong PIN, a destroyed key, too few shares."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import FileRoot, RootProvider, Roots, create_root_file
from tests.drills.page import Drill, Operator, drills
from tests.redis.pods import Place
from tests.scenarios.rig import Served, backend
from tests.scenarios.test_roots import asked, send, sidecar, until
from tests.scenarios.test_shares import made, unlock
from tests.softhsm import Token, a_token

PATIENCE_SECONDS = 60.0


@dataclass
class RootScene:
    """An operator and one pod with the same keyring, opened by the same roots."""

    drill: Drill
    folder: Path
    roots: str
    keyring: Keyring
    upstream: int
    operator: Operator = field(init=False)

    def __post_init__(self) -> None:
        self.pod.mkdir()
        mine = Place(self.mine, self.upstream, "memory")
        self.operator = Operator(mine, (Place(self.pod, self.upstream, "memory"),)).prepare()
        text = (
            "version: 1\nkeys: {keyring: {file: keyring.jwe, id: ID, ROOTS}}\n"
            "listeners: [{name: a, listen: '127.0.0.1:0', upstream: 'http://127.0.0.1:1',"
            " unmatched: pass}]\n"
        )
        text = text.replace("ID", self.keyring.id).replace("ROOTS", self.roots)
        (self.mine / "sealyard.yaml").write_text(text)
        for one in self.mine.iterdir():
            if one.is_file() and one.name != "sealyard.yaml":
                shutil.copy2(one, self.pod)

    @property
    def mine(self) -> Path:
        """The operator's folder."""
        return self.folder / "operator"

    @property
    def pod(self) -> Path:
        """The pod's folder."""
        return self.folder / "pod"

    @contextmanager
    def serving(self) -> Iterator[Served]:
        """Run the pod."""
        with sidecar(self.pod, self.upstream, self.roots, self.keyring, {}) as served:
            yield served

    async def follow(self, status: int = 0) -> str:
        """Run the script of the drill; return what it printed."""
        script = self.drill.scripts[0]
        return await asyncio.to_thread(self.operator.follow, script, status=status)

    async def seen(self, served: Served, text: str, status: int = 503) -> None:
        """Wait until `/readyz?verbose` says something, within the promised time."""
        await until(served, status)
        await happens(text, lambda: said(served, text), self.drill.seconds)


async def said(served: Served, text: str) -> bool:
    return text in (await asked(served, "/readyz?verbose"))[1]


async def happens(what: str, look: Callable[[], Awaitable[bool]], seconds: float) -> None:
    began = time.monotonic()
    while not await look():
        assert time.monotonic() - began < seconds, f"{what}: not seen within {seconds} s"
        await asyncio.sleep(0.1)


def with_a_token(
    folder: Path, title: str, upstream: int, *, second: bool = False
) -> tuple[RootScene, Token]:
    """Return a scene whose keyring a token opens, and with `second` also a root key in a file."""
    (folder / "operator").mkdir()
    token = a_token(folder / "hsm", folder / "operator" / "hsm.pin")
    listed: list[RootProvider] = [token.root()]
    options = token.options
    first = (
        f"pkcs11: {{module: {options.module}, token: {options.token}, serial: '{options.serial}',"
        f" key: aes, pin: {{file: hsm.pin}}, environment: ['{options.environment[0]}']}}"
    )
    roots = first
    if second:
        path = folder / "operator" / "root.key"
        create_root_file(path, random=os.urandom)
        listed.append(FileRoot(SecretReference(file=path)))
        roots = f"roots: [{{{first}}}, {{key: {{file: root.key}}}}]"
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(folder / "operator" / "keyring.jwe", keyring, Roots(tuple(listed)))
    return RootScene(drills()[title], folder, roots, keyring, upstream), token


async def test_a_wrong_pin_is_tried_once_and_a_right_one_taken(tmp_path: Path) -> None:
    async with backend() as behind:
        scene, token = with_a_token(tmp_path, "The PIN of the HSM is wrong, or locked", behind.port)
        right = token.pin
        wrong = scene.pod / "hsm.pin"
        wrong.write_text("canary-pin\n")
        with scene.serving() as served:
            await scene.seen(served, "refused the PIN")
            told = served.log.read_text()
            assert "is wrong" in told
            assert "canary-pin" not in told
            assert right not in told
            assert "opens" in await scene.follow()
            await until(served, 200)
            assert (await send(served))[0] == 200


async def test_a_destroyed_key_is_replaced_where_there_is_a_second_root(tmp_path: Path) -> None:
    async with backend() as behind:
        scene, token = with_a_token(
            tmp_path, "The key on the HSM was destroyed", behind.port, second=True
        )
        token.remove("aes")
        with scene.serving() as served:
            await scene.seen(served, "the token has no key of this label", 200)
            token.make("aes")
            told = await scene.follow()
            assert told.count(": opens") == 2
            await happens(
                "a root", lambda: said(served, "`pkcs11` sealyard/aes opened"), PATIENCE_SECONDS
            )
            assert (await send(served))[0] == 200


async def test_with_too_few_shares_the_backup_gets_new_ones(tmp_path: Path) -> None:
    async with backend() as behind:
        (tmp_path / "operator").mkdir()
        keyring, shares = made(tmp_path / "operator")
        roots = "shares: {needed: 2, of: 3, socket: unlock.sock}"
        scene = RootScene(
            drills()["Too few shares are left"], tmp_path, roots, keyring, behind.port
        )
        await backed_up(scene, keyring)
        with scene.serving() as served:
            await scene.seen(served, "0 of 2 shares")
            assert (await unlock(scene.pod, shares[0].text()))[0] == 0
            await scene.seen(served, "1 of 2 shares")
            told = await scene.follow()
            pages = [page for page in told.split("share ") if " of 3; " in page]
            new = ["\n".join(page.splitlines()[2:6]) for page in pages]
            assert len(new) == 3
            await scene.seen(served, "0 of 2 shares")
            assert "of an earlier split" in (await unlock(scene.pod, shares[1].text()))[1]
            for text in new[1:]:
                status, said_ = await unlock(scene.pod, text)
                assert status == 0, said_
            await until(served, 200)
            assert (await send(served))[0] == 200


async def backed_up(scene: RootScene, keyring: Keyring) -> None:
    """Make the backup that the page wants, from a keyring with a root of its own."""
    path = scene.folder / "elsewhere"
    path.mkdir()
    create_root_file(path / "root.key", random=os.urandom)
    root = FileRoot(SecretReference(file=path / "root.key"))
    create_keyring(path / "keyring.jwe", keyring, root)
    script = (
        f"sealyard keys export backup.jwe --keyring '{path}/keyring.jwe'"
        f" --root-file '{path}/root.key'"
    )
    await asyncio.to_thread(scene.operator.follow, script)

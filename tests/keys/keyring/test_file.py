from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError
from proxy.keys import private_file
from proxy.keys.keyring.file import create_keyring, open_keyring, update_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.keyring.roots import FileRoot, passphrase
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from proxy.keys.policy import MAX_FILE_BYTES

from ..builders import NOW, a_keyring, a_root, some_bytes

PHRASE = PassphraseRoot(SecretReference(env="P"), {"P": "canary horse battery"})


@dataclass
class Case:
    path: Path
    root: FileRoot
    keyring: Keyring


@pytest.fixture
def case(tmp_path: Path) -> Case:
    case = Case(tmp_path / "keyring.jwe", a_root(tmp_path), a_keyring("k2"))
    create_keyring(case.path, case.keyring, case.root)
    return case


def test_what_is_created_opens(case: Case) -> None:
    assert open_keyring(case.path, case.root) == case.keyring


def test_an_existing_file_is_not_overwritten(case: Case) -> None:
    before = case.path.read_bytes()
    with pytest.raises(KeyringError, match="not overwritten"):
        create_keyring(case.path, a_keyring(), case.root)
    assert case.path.read_bytes() == before


def test_a_keyring_under_a_weak_passphrase_opens_and_changes_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made when that was no mistake; nothing new is made under it."""
    path, keyring = tmp_path / "keyring.jwe", a_keyring("k2")
    root = PassphraseRoot(SecretReference(env="P"), {"P": "aaaaaaaaaaaa"})
    with monkeypatch.context() as before:
        before.setattr(Passphrase, "require_strength", lambda _: None)
        create_keyring(path, keyring, root)
    assert open_keyring(path, root) == keyring
    changed = update_keyring(path, root, lambda keyring: keyring.promote("k2"))
    assert open_keyring(path, root) == changed
    with pytest.raises(KeyringError, match="a new passphrase"):
        create_keyring(tmp_path / "other.jwe", a_keyring(), root)


def test_an_update_is_written(case: Case) -> None:
    changed = update_keyring(case.path, case.root, lambda keyring: keyring.promote("k2"))
    assert open_keyring(case.path, case.root) == changed == case.keyring.promote("k2")


def test_a_refused_change_leaves_the_file_as_it_was(case: Case) -> None:
    before = case.path.read_bytes()
    with pytest.raises(KeyringError):
        update_keyring(case.path, case.root, lambda keyring: keyring.disable("k1"))
    assert case.path.read_bytes() == before


def test_a_crash_while_writing_leaves_the_old_keyring(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(KeyringError):
            update_keyring(case.path, case.root, lambda keyring: keyring.promote("k2"))
    assert open_keyring(case.path, case.root) == case.keyring


def test_concurrent_additions_lose_nothing(case: Case) -> None:
    def add(number: int) -> None:
        update_keyring(
            case.path,
            case.root,
            lambda keyring: keyring.add(f"t{number}", now=NOW, random=some_bytes),
        )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(16)))
    keyring = open_keyring(case.path, case.root)
    assert {kek.id for kek in keyring.keks} == {"k1", "k2", *(f"t{n}" for n in range(16))}


def test_concurrent_additions_of_processes_lose_nothing(case: Case) -> None:
    script = """
import os, sys
from pathlib import Path
from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import update_keyring
from proxy.keys.keyring.roots import FileRoot
root = FileRoot(SecretReference(file=Path(sys.argv[2])))
for n in range(4):
    update_keyring(Path(sys.argv[1]), root,
        lambda k: k.add(f"p{sys.argv[3]}-{n}", now=0, random=os.urandom))
"""
    command = [sys.executable, "-c", script, str(case.path), str(case.root.reference.file)]
    running = [subprocess.Popen([*command, str(n)]) for n in range(3)]  # noqa: S603 - our own code
    assert [process.wait(30) for process in running] == [0, 0, 0]
    assert len(open_keyring(case.path, case.root).keks) == 2 + 12


def test_a_keyring_that_others_can_read_is_refused(case: Case) -> None:
    case.path.chmod(0o644)
    with pytest.raises(KeyringError, match="0644"):
        open_keyring(case.path, case.root)


def test_a_huge_file_is_refused(case: Case) -> None:
    private_file.write(case.path, b"." * (MAX_FILE_BYTES + 1))
    with pytest.raises(KeyringError, match="larger"):
        open_keyring(case.path, case.root)


def test_a_folder_that_cannot_be_read_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a mounted volume that has gone away: `Path.exists` raises that of Python 3.11."""

    def gone(*_: object, **__: object) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "stat", gone)
    with pytest.raises(KeyringError) as raised:
        open_keyring(case.path, case.root)
    assert raised.value.reason == f"{case.path}: {os.strerror(errno.ESTALE)}"


def test_the_largest_keyring_fits_the_file(tmp_path: Path) -> None:
    keyring, root, path = a_keyring(), a_root(tmp_path), tmp_path / "large.jwe"
    for number in range(255):
        keyring = keyring.add(f"{number:032}", now=NOW, random=some_bytes)
    create_keyring(path, keyring, root)
    assert open_keyring(path, root) == keyring


def test_a_wrong_root_names_the_file_and_no_secret(case: Case, tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match=r"keyring\.jwe") as refused:
        open_keyring(case.path, a_root(tmp_path))
    assert refused.value.__context__ is None


async def test_the_event_loop_goes_on_while_a_passphrase_is_stretched(tmp_path: Path) -> None:
    path, keyring = tmp_path / "keyring.jwe", a_keyring()
    create_keyring(path, keyring, PHRASE)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        opened = await asyncio.to_thread(open_keyring, path, PHRASE)
        ticking.cancel()
    assert opened == keyring
    assert ticks >= 5


def test_importing_the_file_module_does_not_import_joserfc() -> None:
    script = "import sys, proxy.keys.keyring.file; sys.exit('joserfc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=False)  # noqa: S603 - our own code
    assert done.returncode == 0


def test_a_restored_keyring_opens_for_who_keeps_only_what_a_passphrase_derived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process forgets the passphrase of a variable; a backup is restored under the same one."""
    monkeypatch.setenv("ONCE", "canary horse battery staple")
    operator = PassphraseRoot(SecretReference(env="ONCE"), dict(os.environ))
    running = PassphraseRoot(SecretReference(env="ONCE"), os.environ)
    path, keyring = tmp_path / "keyring.jwe", a_keyring()
    create_keyring(path, keyring, operator)
    assert open_keyring(path, running) == keyring
    passphrase.forget("ONCE")
    path.unlink()
    create_keyring(path, keyring.after(7), operator)
    assert open_keyring(path, running).generation == 8
    path.unlink()
    create_keyring(path, a_keyring(), operator)
    with pytest.raises(KeyringError, match="another salt"):
        open_keyring(path, running)

"""Key pairs made in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from ctypes.util import find_library
from pathlib import Path

import pytest

from proxy.core.errors import KeyMakerBusy
from proxy.keys.participants import private_key
from proxy.keys.participants.key_generation import KeyMaker
from proxy.keys.policy import MOST_WAITING, NICENESS

from .builders import PASSPHRASE


async def test_a_pair_belongs_together_and_opens_with_its_passphrase() -> None:
    public, sealed = await KeyMaker().make("Ed25519", PASSPHRASE)

    assert private_key.unseal(sealed, PASSPHRASE, public)["kty"] == "OKP"


@pytest.mark.timing
async def test_the_loop_goes_on_while_a_pair_of_4096_bits_is_made() -> None:
    """In a thread, the check of the new key alone holds the interpreter for 250 ms."""
    gaps: list[float] = []
    loop = asyncio.get_running_loop()
    task = loop.create_task(KeyMaker().make("RSA", PASSPHRASE))
    while not task.done():
        before = time.thread_time()
        await asyncio.sleep(0.002)
        gaps.append(time.thread_time() - before)  # of the CPU: others may keep us from it
    public, _ = await task

    assert public.kty == "RSA"
    assert len(gaps) > 10
    assert max(gaps) < 0.1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux how a process is scheduled")
async def test_a_pair_is_made_with_less_right_to_the_cpu_from_its_first_import_on() -> None:
    """Where messages and a pair want the same core, the messages get nine tenths of it."""
    seen: set[tuple[int, int]] = set()
    task = asyncio.get_running_loop().create_task(KeyMaker().make("RSA", PASSPHRASE))
    while not task.done():
        seen |= makers_at_work()
        await asyncio.sleep(0.01)
    await task

    assert seen == {(min(os.nice(0) + NICENESS, 19), os.SCHED_BATCH)}


FORBIDDING = """
import ctypes, errno, runpy
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
rules = ctypes.c_void_p(seccomp.seccomp_init(0x7FFF0000))
for name in (b"setpriority", b"sched_setscheduler"):
    number = seccomp.seccomp_syscall_resolve_name(name)
    assert seccomp.seccomp_rule_add(rules, 0x00050000 | errno.EPERM, number, 0) == 0
assert seccomp.seccomp_load(rules) == 0
runpy.run_module("proxy.keys.participants.key_generator", run_name="__main__")
"""
"""Begins as a maker in a sandbox where it may not lower its priority."""


@pytest.mark.skipif(find_library("seccomp") is None, reason="no libseccomp, which systemd has")
def test_a_pair_is_made_where_the_priority_may_not_be_lowered() -> None:
    done = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", FORBIDDING],
        input=json.dumps({"kind": "Ed25519", "passphrase": PASSPHRASE.reveal().decode()}).encode(),
        capture_output=True,
        check=True,
    )

    assert json.loads(done.stdout)["public"]["kty"] == "OKP"


def makers_at_work() -> set[tuple[int, int]]:
    """Return niceness and policy of our makers that have got as far as their libraries."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            maps = (folder / "maps").read_text()
            if b"key_generator" in command and "cryptography" in maps:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():  # tests beside this one have makers too
                    found.add((int(fields[16]), int(fields[38])))
    return found


async def test_more_than_a_few_at_once_are_sent_away() -> None:
    maker = KeyMaker()
    tasks = [
        asyncio.get_running_loop().create_task(maker.make("Ed25519", PASSPHRASE))
        for _ in range(MOST_WAITING + 1)
    ]
    await asyncio.sleep(0)
    with pytest.raises(KeyMakerBusy):
        await maker.make("Ed25519", PASSPHRASE)
    for task in tasks[1:]:
        task.cancel()
    await tasks[0]
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (await maker.make("Ed25519", PASSPHRASE))[0].kty == "OKP"

"""A key service as the root: away at the start and later, withdrawn, and asked for no message."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.aws_kms import AwsKmsOptions
from proxy.keys.keyring.file import update_keyring
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.keyring.roots import FileRoot, Roots, create_root_file
from proxy.keys.keyring.roots.aws_kms import AwsKmsRoot
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from tests.kms_double import KmsDouble, kms_double
from tests.scenarios.rig import Load, Served, backend, environment, served
from tests.scenarios.root_scenes import make_keyring


def root_of(kms: KmsDouble) -> AwsKmsRoot:
    options = AwsKmsOptions("alias/sealyard", "eu-central-1", f"{kms.url}/", f"{kms.url}/")
    return AwsKmsRoot(options, kms.environment)


@contextmanager
def sidecar(
    folder: Path,
    upstream: int,
    roots: str,
    keyring: Keyring,
    variables: dict[str, str],
    *options: str,
) -> Iterator[Served]:
    """Run the sidecar with these roots."""
    more = f"{roots}, id: {keyring.id}"
    with served(folder, upstream, *options, keyring_more=more, variables=variables) as running:
        yield running


async def asked(served: Served, path: str) -> tuple[int, str]:
    """Return the answer of the health listener; 0 where nothing listens yet."""
    url = f"http://127.0.0.1:{served.health}{path}"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def until(
    served: Served, status: int, saying: str = "", path: str = "/readyz?verbose"
) -> str:
    """Return the answer once it has that status and says that.

    The health listener may tell for a moment what was so before.
    """
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert served.process.poll() is None, served.log.read_text()[-2000:]
        found, text = await asked(served, path)
        if found == status and saying in text:
            return text
        await asyncio.sleep(0.02)
    raise AssertionError(f"{path} is not {status} {saying}: {served.log.read_text()[-2000:]}")


async def send(served: Served, content: str = "canary of a message") -> tuple[int, str]:
    """Return the status, and the code of the error or ""."""
    body = {"conversationId": "c1", "content": content, "note": content}
    url = f"http://127.0.0.1:{served.port}/api/messages"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        return answer.status, answer.headers.get("Sealyard-Error", "")


async def answered(load: Load, number: int) -> None:
    """Wait until so many messages were answered."""
    deadline = time.monotonic() + 60
    while load.answered < number:
        assert time.monotonic() < deadline, load
        await asyncio.sleep(0.05)


def shows_no_canary(served: Served) -> None:
    text = served.log.read_text()
    assert "canary" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("options", [pytest.param((), marks=pytest.mark.slow), ("--workers", "2")])
async def test_a_root_that_is_away_at_the_start_is_waited_for(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        kms.stop()
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}"
            with sidecar(
                tmp_path, behind.port, roots, keyring, kms.environment, *options
            ) as served:
                text = await until(served, 503, "refuses connections")
                assert "`aws-kms` eu-central-1/alias/sealyard" in text
                assert (await asked(served, "/livez"))[0] == 200
                kms.refuses = "DisabledException"
                kms.start()
                told = await served.event("root.unavailable", 2)
                assert "DisabledException" in told["reason"]
                assert served.process.poll() is None
                kms.refuses = ""
                back = time.monotonic()
                # The supervisor names its workers.
                await until(served, 200, "" if options else "opened the keyring")
                waited = time.monotonic() - back
                assert waited < 2 + 15 * bool(options), waited  # workers start: seconds of CPU
                assert (await send(served))[0] == 200
                assert not behind.bodies or b"canary" not in behind.bodies[0]
                shows_no_canary(served)


async def test_a_configuration_that_names_a_wrong_key_can_be_mended_while_it_waits(
    tmp_path: Path,
) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        wrong = KmsDouble()
        roots = f"aws-kms: {wrong.configuration}"
        with sidecar(tmp_path, 1, roots, keyring, kms.environment) as served:
            await until(served, 503)
            file = tmp_path / "sealyard.yaml"
            text = file.read_text()
            file.write_text("version: 9\n")  # is not taken, and does no harm
            await asyncio.sleep(2)
            assert (await asked(served, "/livez"))[0] == 200
            file.write_text(text.replace(wrong.url, kms.url))
            await until(served, 200)


async def test_a_worker_that_dies_meanwhile_waits_for_the_root(tmp_path: Path) -> None:
    """It is not started again and again, and holds up no reload of the others."""
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}"
            with sidecar(
                tmp_path, behind.port, roots, keyring, kms.environment, "--workers", "2"
            ) as served:
                await until(served, 200)
                first = await served.event("worker.ready")
                kms.refuses = "DisabledException"
                os.kill(int(first["worker_pid"]), signal.SIGKILL)
                told = await served.event("root.unavailable")
                assert "DisabledException" in told["reason"]
                text = await until(served, 503, "no root opens the keyring: ")
                assert re.search(r"\[-\] worker-\d: .*no root opens the keyring: .*Disabled", text)
                asked_before = kms.count("Decrypt")
                served.process.send_signal(signal.SIGHUP)
                await served.event("config.loaded", 2)
                deadline = time.monotonic() + 20
                while kms.count("Decrypt") < asked_before + 4:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
                named = [one["event"] for one in served.events]
                assert (named.count("worker.started"), named.count("worker.died")) == (3, 1)
                kms.refuses = ""
                await until(served, 200)
                assert (await send(served))[0] == 200
                shows_no_canary(served)


async def test_a_process_that_waits_for_a_root_can_be_stopped(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        kms.stop()
        roots = f"aws-kms: {kms.configuration}"
        with sidecar(tmp_path, 1, roots, keyring, kms.environment) as served:
            await until(served, 503)
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0


async def test_no_message_asks_the_root(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}"
            with sidecar(tmp_path, behind.port, roots, keyring, kms.environment) as served:
                await until(served, 200)
                assert kms.count("Decrypt") == 1
                load = Load(f"http://127.0.0.1:{served.port}/api/messages")
                running_load = asyncio.create_task(load.run(16))  # noqa: TID251 - awaited below
                await answered(load, 400)
                kms.stop()  # and it is not missed
                await answered(load, 800)
                load.stop.set()
                await running_load
                assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
                assert kms.count("Decrypt") == 1
                opened = [
                    json.loads(line)
                    for line in (tmp_path / "keyring.jwe.audit").read_text().splitlines()
                    if "root.opened" in line
                ]
                assert [(one["kind"], one["name"]) for one in opened] == [
                    ("aws-kms", "eu-central-1/alias/sealyard")
                ]


async def test_a_root_that_fails_leaves_it_to_the_next_and_that_is_told(tmp_path: Path) -> None:
    with kms_double() as kms:
        create_root_file(tmp_path / "root.key", random=os.urandom)
        local = FileRoot(SecretReference(file=tmp_path / "root.key"))
        keyring = make_keyring(tmp_path, root_of(kms), local)
        kms.refuses = "AccessDeniedException"
        listed = f"roots: [{{aws-kms: {kms.configuration}}}, {{key: {{file: root.key}}}}]"
        with sidecar(tmp_path, 1, listed, keyring, kms.environment) as served:
            text = await until(served, 200)
            assert "`file` opened the keyring" in text
            assert "AccessDeniedException" in text
            told = await served.event("root.fallback")
            assert (told["kind"], told["reason"]) == (
                "aws-kms",
                "AWS KMS: Decrypt: AccessDeniedException",
            )
            metrics = await served.metrics()
            assert 'sealyard_root_refused{kind="aws-kms"} 1' in metrics
            assert 'sealyard_root_refused{kind="file"} 0' in metrics
            # At the next reload it opens again.
            kms.refuses = ""
            served.process.send_signal(signal.SIGHUP)
            await served.event("root.opened", 2)
            await until(served, 200, "`aws-kms` eu-central-1/alias/sealyard opened")
            shows_no_canary(served)


@pytest.mark.timing
async def test_a_key_that_was_withdrawn_stops_opening_at_the_end_of_the_lease(
    tmp_path: Path,
) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}, lease: 4s"
            with sidecar(tmp_path, behind.port, roots, keyring, kms.environment) as served:
                await until(served, 200)
                assert (await send(served))[0] == 200
                kms.refuses = "DisabledException"
                told = await served.event("root.unavailable")
                assert "DisabledException" in told["reason"]
                assert (await send(served))[0] == 200  # within the lease
                assert (await asked(served, "/readyz"))[0] == 200
                await served.event("root.lease_ended")
                await until(served, 503, "`aws-kms` eu-central-1/alias/sealyard has ended")
                assert await send(served) == (503, "key-unavailable")
                seen = len(behind.bodies)
                kms.refuses = ""
                back = time.monotonic()
                await until(served, 200)
                assert time.monotonic() - back < 2
                assert (await send(served))[0] == 200
                assert len(behind.bodies) == seen + 1
                assert all(b"canary" not in body for body in behind.bodies)
                shows_no_canary(served)


async def test_a_reload_in_an_outage_after_a_lease_that_ended_and_was_renewed_changes_no_key(
    tmp_path: Path,
) -> None:
    """The KEKs of before the end were overwritten: a reload must not go back to them."""
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}, lease: 4s"
            with sidecar(tmp_path, behind.port, roots, keyring, kms.environment) as served:
                await until(served, 200)
                kms.refuses = "DisabledException"
                await served.event("root.lease_ended")
                served.process.send_signal(signal.SIGHUP)
                await served.event("config.loaded", 2)
                assert await send(served) == (503, "key-unavailable")
                kms.refuses = ""
                await until(served, 200)
                assert (await send(served))[0] == 200
                kms.stop()
                served.process.send_signal(signal.SIGHUP)
                await served.event("config.loaded", 3)
                assert (await send(served))[0] == 200
                assert all(b"canary" not in body for body in behind.bodies)
                shows_no_canary(served)


async def test_a_keyring_of_before_is_not_used_after_the_end_of_a_lease(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        old = (tmp_path / "keyring.jwe").read_bytes()
        newer = keyring.add("k2", now=int(time.time()), random=os.urandom).promote("k2")
        update_keyring(
            tmp_path / "keyring.jwe", Roots((root_of(kms),), keyring.id), lambda _: newer
        )
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}, lease: 4s"
            with sidecar(tmp_path, behind.port, roots, keyring, kms.environment) as served:
                await until(served, 200)
                current = (tmp_path / "keyring.jwe").read_bytes()
                kms.refuses = "DisabledException"
                told = await served.event("root.unavailable")
                assert "DisabledException" in told["reason"]
                (tmp_path / "keyring.jwe").write_bytes(old)
                await served.event("root.lease_ended")
                kms.refuses = ""
                await until(served, 503, "older than the keyring in use before")
                assert await send(served) == (503, "key-unavailable")
                (tmp_path / "keyring.jwe").write_bytes(current)
                await until(served, 200)
                assert (await send(served))[0] == 200
                assert all(b"canary" not in body for body in behind.bodies)


async def test_an_outage_within_the_lease_is_told_and_not_felt(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        async with backend() as behind:
            roots = f"aws-kms: {kms.configuration}, lease: 6s"
            with sidecar(tmp_path, behind.port, roots, keyring, kms.environment) as served:
                await until(served, 200)
                load = Load(f"http://127.0.0.1:{served.port}/api/messages", pause=0.02)
                running_load = asyncio.create_task(load.run(4))  # noqa: TID251 - awaited below
                kms.stop()
                await served.event("root.unavailable")
                await until(served, 200, "no root opens it now")
                kms.start()
                await served.event("root.opened", 2)
                metrics = await served.metrics()
                assert "sealyard_root_lease_left_seconds" in metrics
                load.stop.set()
                await running_load
                assert load.answered > 0
                assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
                assert not [one for one in served.events if one["event"] == "root.lease_ended"]


@pytest.mark.cold  # looks at the environment that the kernel shows
async def test_a_reload_uses_the_credential_of_the_day(tmp_path: Path) -> None:
    with kms_double() as kms:
        keyring = make_keyring(tmp_path, root_of(kms))
        token = tmp_path / "container.token"
        token.write_text(kms.allowed)
        variables = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{kms.url}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        roots = f"aws-kms: {kms.configuration}"
        with sidecar(tmp_path, 1, roots, keyring, variables) as served:
            await until(served, 200)
            first = kms.allowed
            kms.allowed = "canary-token-of-the-container-2"
            served.process.send_signal(signal.SIGHUP)
            told = await served.event("root.unavailable")  # the old one is of no use any more
            assert "container credentials: status 403" in told["reason"]
            assert (await asked(served, "/readyz"))[0] == 200  # and nothing is lost by that
            token.write_text(kms.allowed)
            served.process.send_signal(signal.SIGHUP)
            await served.event("root.opened", 2)
            assert kms.bearers == [first, first, kms.allowed]
            shows_no_canary(served)
            environment = Path(f"/proc/{served.process.pid}/environ").read_bytes()  # noqa: ASYNC240 - of memory
            assert b"canary" not in environment


async def run(folder: Path, variables: dict[str, str], *arguments: str) -> str:
    """Run `sealyard keys ...` by the configuration in the folder; return what it printed."""
    line = [sys.executable, "-P", "-m", "proxy", "keys", *arguments]
    line += ["--config", str(folder / "sealyard.yaml")]
    process = await asyncio.create_subprocess_exec(
        *line,
        env=environment(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out
    return out.decode()


@pytest.mark.slow
async def test_from_a_passphrase_to_a_cloud_and_to_another_without_a_stop(tmp_path: Path) -> None:
    """Each step is that of docs/how-to/keys.md, while messages pass; none of them fails."""
    phrase = "canary of a horse battery"
    with kms_double() as first, kms_double() as second:
        (tmp_path / "passphrase").touch(0o600)
        (tmp_path / "passphrase").write_text(phrase)
        local = PassphraseRoot(SecretReference(file=tmp_path / "passphrase"), {})
        keyring = make_keyring(tmp_path, local)
        old = "{passphrase: {file: passphrase}}"
        one, two = (f"{{aws-kms: {kms.configuration}}}" for kms in (first, second))
        two = two.replace("eu-central-1", "eu-west-1")
        async with backend() as behind:
            with sidecar(
                tmp_path, behind.port, f"roots: [{old}]", keyring, first.environment
            ) as served:
                await until(served, 200)
                load = Load(f"http://127.0.0.1:{served.port}/api/messages", pause=0.01)
                running_load = asyncio.create_task(load.run(4))  # noqa: TID251 - awaited below
                loaded = 1

                async def step(*roots: str, then: tuple[str, ...] = ()) -> None:
                    """Add or remove a wrapping by a configuration of the operator, then use it."""
                    nonlocal loaded
                    text = (tmp_path / "sealyard.yaml").read_text()
                    head, _, rest = text.partition("roots: [")
                    changed = f"{head}roots: [{', '.join(roots)}]{rest[rest.index('], id:') + 1 :]}"
                    if then:
                        mine = tmp_path / "operator"
                        mine.mkdir(exist_ok=True)
                        for name in ("keyring.jwe", "passphrase"):
                            shutil.copy(tmp_path / name, mine / name)
                        (mine / "sealyard.yaml").write_text(changed)
                        await run(mine, first.environment, "roots", *then)
                        (mine / "keyring.jwe").rename(tmp_path / "keyring.jwe")
                    else:
                        (tmp_path / "sealyard.yaml").write_text(changed)
                    loaded += 1
                    await served.event("config.loaded", loaded)

                await step(old, one, then=("add",))
                await step(old, one)
                await step(one)
                await step(one, then=("remove", "passphrase", "--yes"))
                await step(one, two, then=("add",))
                await step(one, two)
                await step(two)
                key = "eu-central-1/alias/sealyard"
                await step(two, then=("remove", "aws-kms", "--key", key, "--yes"))
                load.stop.set()
                await running_load
                assert load.answered > 100
                assert (load.wrong, load.cut, load.refused) == ([], 0, 0)
                await until(served, 200, "`aws-kms` eu-west-1/alias/sealyard opened")
                shows_no_canary(served)
                assert not [one for one in served.events if one["event"] == "config.refused"]

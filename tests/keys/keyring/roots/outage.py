"""A fleet of three whose key service is killed under load: no message may fail.

    python -m tests.keys.keyring.roots.outage --seconds 60 --rps 500

prints how many messages were answered, how many failed, how many calls the service has logged
before it was killed, and the rate that was reached while it was away. The status is 1 where a
message failed or a reload was refused, and where the rate was missed by more than a twentieth: then
the machine was too busy to measure it.
`--seconds 5 --rps 100` is the short form. The service is moto, which `./dev test tests/keys` sets
up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from proxy.config.settings.roots.aws_kms import AwsKmsOptions
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots.aws_kms import AwsKmsRoot
from tests.keys.keyring.roots.test_aws_kms import ENVIRON, MOTO, REGION, Kms
from tests.scenarios.rig import Load, Served, backend
from tests.scenarios.test_roots import sidecar, until
from tests.servers import await_port, child, free_port

_SIDECARS = 3
_CLIENTS = 40
"""Clients of each sidecar."""
_REACHED = 0.95
"""The part of the rate that counts as reached."""


@dataclass
class Result:
    """What an outage came to."""

    answered: int
    failed: int
    """Messages with another answer than theirs or none, and canaries where none may be."""
    rate: float
    """Messages answered in each second of the outage."""
    calls: int
    """Calls that the service logged, of `Decrypt` alone: one for each start."""
    reloads: int
    """Reloads during the outage that were accepted."""


async def outage(folder: Path, seconds: float, rps: int) -> Result:
    """Kill the service under load, for so many seconds."""
    log, port = folder / "moto.log", free_port()
    with ExitStack() as stack:
        moto = stack.enter_context(child([str(MOTO), "-H", "127.0.0.1", "-p", str(port)], log, {}))
        await asyncio.to_thread(await_port, moto, port, log)
        kms = Kms(f"http://127.0.0.1:{port}/")
        kms.key = await asyncio.to_thread(kms.make_key)
        keyring = create("k1", now=int(time.time()), random=os.urandom)
        root = AwsKmsRoot(AwsKmsOptions(kms.key, REGION, kms.url, kms.url), ENVIRON)
        address = f"endpoint: '{kms.url}', sts: '{kms.url}'"
        configured = f"aws-kms: {{key: '{kms.key}', {address}}}, lease: 1h"
        before = _calls(log)
        async with backend() as behind:
            fleet: list[Served] = []
            for number in range(_SIDECARS):
                place = folder / f"sidecar-{number}"
                place.mkdir()
                await asyncio.to_thread(create_keyring, place / "keyring.jwe", keyring, root)
                run = sidecar(place, behind.port, configured, keyring, ENVIRON)
                fleet.append(stack.enter_context(run))
            wrapped = _calls(log) - before
            for one in fleet:
                await until(one, 200)
            loads, rate = await _under_load(fleet, moto.pid, seconds, rps)
            reloads = [await _reloaded(one) for one in fleet]
            canaries = [load.canary for load in loads] + [ENVIRON["AWS_SECRET_ACCESS_KEY"]]
            shown = [*behind.bodies, *(one.log.read_bytes() for one in fleet)]
            leaks = sum(any(one.encode() in text for one in canaries) for text in shown)
    answered = sum(load.answered for load in loads)
    failed = sum(len(load.wrong) + load.cut + load.refused for load in loads) + leaks
    calls = _calls(log) - before - wrapped
    return Result(answered, failed, round(rate, 1), calls, sum(reloads))


async def _under_load(
    fleet: list[Served], service: int, seconds: float, rps: int
) -> tuple[list[Load], float]:
    """Return what the clients saw, and how many messages a second were answered in the outage."""
    every = _SIDECARS * _CLIENTS / rps
    loads = [Load(f"http://127.0.0.1:{one.port}/api/messages", every=every) for one in fleet]
    async with asyncio.TaskGroup() as group:
        for load in loads:
            group.create_task(load.run(_CLIENTS))
        while not all(load.answered for load in loads):  # noqa: ASYNC110 - as in the rig
            await asyncio.sleep(0.05)
        began, before = time.monotonic(), sum(load.answered for load in loads)
        os.kill(service, signal.SIGKILL)
        await asyncio.sleep(seconds / 2)
        for one in fleet:
            one.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(seconds / 2)
        rate = (sum(load.answered for load in loads) - before) / (time.monotonic() - began)
        for load in loads:
            load.stop.set()
    return loads, rate


async def _reloaded(one: Served) -> int:
    """Return 1 where the reload was accepted and the outage reported."""
    told = await one.event("root.unavailable")
    loaded = await one.event("config.loaded", 2)
    return int("refuses connections" in told["reason"] and loaded["cause"] == "signal")


def _calls(log: Path) -> int:
    return log.read_text().count('"POST / HTTP/1.1" 200')


def main() -> int:
    """Run it; 1 where a message failed, or the rate was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rps", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(outage(Path(folder), asked.seconds, asked.rps))
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
    failed = result.failed > 0 or result.reloads < _SIDECARS
    return int(failed or result.rate < _REACHED * asked.rps)


if __name__ == "__main__":
    sys.exit(main())

"""What looks sensitive is told by path and kind: no value and no name of a client is, anywhere."""

from __future__ import annotations

import asyncio
import json
import secrets
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.scenarios.rig import ROOT, TOKEN, Served, backend, environment, served
from tests.servers import await_log

from .canaries import Canary, letters, make, own
from .carriers import request
from .rig import ask, send_all

RULES = """\
      - name: seen
        match: POST /seen
        mode: observe
        conversation: const:c1
        request: {encrypt: [$.content]}
        response: {decrypt: [$.content, $.note]}
      - name: lenient
        match: POST /lenient
        mode: permissive until 2999-01-01
        conversation: const:c1
        request: {decrypt: [$.content]}
        response: {decrypt: [$.content]}
      - name: sealing
        match: POST /sealing
        conversation: const:c1
        request: {encrypt: [$.content]}
        response: {decrypt: [$.content]}
    client_names: [{name: ios, user_agent: clinic-ios}]
    find_sensitive: true
"""
PATHS = (b"/beside", b"/seen", b"/lenient", b"/sealing")
JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"
PATIENCE_SECONDS = 20.0
SEEN = ("/metrics", "/v1/status", "/v1/status/steps", "/v1/status/leaks", "/v1/config")
LOOKED_FOR = {
    *("$.email", "$.patient.diagnosis", "$.iban", "$.*"),
    *("name: contact", "name: health", "name: bank"),
    *("shape: e-mail", "shape: iban", "shape: card-number"),
}


def _digits(count: int) -> str:
    return "".join(secrets.choice(string.digits) for _ in range(count))


def _card() -> str:
    """Return a random number that passes Luhn's check."""
    body = "4" + _digits(14)
    doubled = [int(one) * (2 if at % 2 == 0 else 1) for at, one in enumerate(body)]
    return body + str(-sum(sum(divmod(one, 10)) for one in doubled) % 10)


def _iban() -> str:
    """Return a random German IBAN with its check digits."""
    account = _digits(18)
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def shapes() -> tuple[Canary, ...]:
    """Return canaries that are told by their shape, each of which would show as a whole."""
    word = letters()
    return (
        Canary("e-mail", f"{word}@example.org".encode(), own([word.encode()])),
        *(
            Canary(kind, text.encode(), frozenset({text.encode()}))
            for kind, text in (("iban", _iban()), ("card-number", _card()))
        ),
    )


def bodies(canary: Canary) -> tuple[tuple[bytes, bytes], ...]:
    """Return type and body of messages that hold a canary as values, and as a name."""
    text = canary.text
    values = {"content": text, "email": text, "patient": {"diagnosis": text}}
    names = {"content": "x", "note": [text], text: "ada@example.org"}
    return (
        (JSON, json.dumps(values).encode()),
        (JSON, json.dumps(names).encode()),
        (FORM, urlencode({"iban": text, text: "4111111111111111", "note": text}).encode()),
    )


def messages(canaries: tuple[Canary, ...]) -> Iterator[bytes]:
    """Yield two requests with each canary: beside the rules, and under one of them."""
    for number, canary in enumerate(canaries):
        agent = "".join(one for one in canary.text if one.isprintable() and one.isascii())
        lines = b"User-Agent: clinic-ios %b\r\n" % agent.encode()
        both = bodies(canary)
        for path, (kind, body) in (
            (PATHS[0], both[number % 3]),
            (PATHS[1 + number % 3], both[number // 3 % 2]),
        ):
            typed = b"Content-Type: %b\r\n%b" % (kind, lines)
            yield request(path, method=b"POST", lines=typed, body=body)


async def _unruled(running: Served, wanted: set[str]) -> dict[str, Any]:
    """Return what looks sensitive once it has all these members and kinds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        told = await ask(running.admin, "/v1/status/leaks", TOKEN)
        report: dict[str, Any] = json.loads(told.partition(b"\r\n\r\n")[2])
        missing = wanted - {one[key] for one in report["sensitive"] for key in ("member", "kind")}
        if not missing:
            return report
        assert time.monotonic() < deadline, missing
        await asyncio.sleep(0.1)


def told_on_a_terminal(folder: Path, mode: str) -> bytes:
    line = [sys.executable, "-P", "-m", "proxy", "status", mode, "--config"]
    done = subprocess.run(  # noqa: S603 - Sealyard itself
        [*line, str(folder / "sealyard.yaml")],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "log_format",
    ["json", *(pytest.param(one, marks=pytest.mark.slow) for one in ("console", "ecs"))],
)
async def test_what_looks_sensitive_is_told_without_a_value_or_a_name(
    tmp_path: Path, log_format: str
) -> None:
    canaries = (*make(12), *shapes())
    folder = tmp_path / "kept"
    folder.mkdir()
    options = ("--log-format", log_format, "--log-level", "debug")
    keys_more, admin_more = "  store: sqlite:law.db\n", "ladder_file: ladder.json"
    async with backend() as behind:
        with served(
            folder, behind.port, *options, rules=RULES, admin_more=admin_more, keys_more=keys_more
        ) as running:
            await asyncio.to_thread(await_log, running.process, running.log, "server.ready")
            sent = list(messages(canaries))
            while sent:  # ten messages of a second are looked at
                await send_all(running.port, [sent.pop() for _ in sent[:9]], clients=1)
                await asyncio.sleep(1.0)
            report = await _unruled(running, LOOKED_FOR)
            told = {path: await ask(running.admin, path, TOKEN) for path in SEEN}
            for mode in ("--steps", "--leaks"):
                told[mode] = await asyncio.to_thread(told_on_a_terminal, folder, mode)
        assert len(behind.bodies) == len(canaries) * 2

    assert {one["rule"] for one in report["sensitive"]} == {"", "seen", "lenient", "sealing"}
    told |= {path.name: path.read_bytes() for path in folder.iterdir()}
    assert b"member.unruled" in told["sealyard.log"]
    assert b"message.would_refuse" in told["sealyard.log"]
    assert b"sealyard_sensitive_members_total{" in told["/metrics"]
    assert b"looks sensitive" in told["--leaks"]
    assert {"ladder.json", "law.db"} <= set(told)
    needles = {needle for one in canaries for needle in one.needles}
    for place, text in told.items():
        assert not [needle for needle in needles if needle in text], place

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.backends import openssl

from proxy.cli.commands import doctor
from proxy.core import leaves
from proxy.core.leaves.choice import ABSENT
from proxy.keys.keyring.root_secret import Passphrase
from proxy.process import descriptors
from tests.cli.conftest import invoke
from tests.scenarios.rig import ROOT
from tests.servers import PlainBackend, free_port
from tests.traffic.callers.issuers import public


@pytest.fixture
def backend() -> Iterator[int]:
    server = PlainBackend()
    yield server.port
    server.close()


@pytest.fixture
def folder(tmp_path: Path, backend: int) -> Path:
    upstream = f"http://127.0.0.1:{backend}"
    invoke("init", str(tmp_path), "--upstream", upstream)
    file = tmp_path / "sealyard.yaml"
    text = file.read_text()
    for usual in (":8080", ":9901"):
        assert usual in text
        text = text.replace(usual, f":{free_port()}")
    file.write_text(text)
    return tmp_path


def examine(folder: Path, *, status: int) -> dict[str, Any]:
    config = str(folder / "sealyard.yaml")
    result = invoke("doctor", "--json", "--config", config, status=status)
    return {one["check"]: one for one in json.loads(result.stdout)}


def test_a_healthy_place_passes_every_check(folder: Path) -> None:
    findings = examine(folder, status=0)
    assert {"environment", "clock", "configuration", "keyring", "listen", "upstream"} <= set(
        findings
    )
    assert all(one["verdict"] != "failed" for one in findings.values())


@pytest.mark.parametrize(
    ("limit", "verdict", "status"), [(60, "failed", 3), (1_000, "warning", 0), (50_000, "ok", 0)]
)
def test_open_files_are_compared_with_the_limits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: int, verdict: str, status: int
) -> None:
    monkeypatch.setattr(descriptors, "highest", lambda: limit)

    assert examine(folder, status=status)["open files"]["verdict"] == verdict


def test_an_upstream_that_does_not_answer_is_found(folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        file = folder / "sealyard.yaml"
        lines = [
            f"    upstream: http://127.0.0.1:{port}" if "upstream:" in line else line
            for line in file.read_text().splitlines()
        ]
        file.write_text("\n".join(lines) + "\n")
        upstream = examine(folder, status=3)["upstream"]
    assert (upstream["verdict"], "start the backend" in upstream["text"]) == ("failed", True)


def test_the_keys_of_issuers_are_fetched(folder: Path) -> None:
    file, keys = folder / "sealyard.yaml", folder / "jwks.json"
    away = f"https://127.0.0.1:{free_port()}/jwks"
    jwt = "jwt: {issuer: i, audience: a, algorithms: [ES256], jwks: "
    callers = (
        f"    callers:\n      - {{name: one, {jwt}{{file: jwks.json}}}}}}\n"
        f"      - {{name: two, {jwt}{{url: '{away}'}}}}}}\n"
    )
    file.write_text(file.read_text().replace("    unmatched:", f"{callers}    unmatched:", 1))

    def found() -> list[tuple[str, str]]:
        result = invoke("doctor", "--json", "--config", str(file), status=3)
        return sorted(
            (one["verdict"], one["text"])
            for one in json.loads(result.stdout)
            if one["check"] == "callers"
        )

    ((verdict, text),) = found()
    assert verdict == "failed"
    assert "jwks.json: No such file or directory" in text
    keys.write_text(json.dumps({"keys": [public("ES256")]}))
    fault, good = found()
    assert fault == ("failed", f"{away.split('/')[2]}: refuses connections")
    assert good == ("ok", f"{keys}: 1 keys")


def test_an_upstream_without_the_tls_that_is_configured_is_found(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        answering = Thread(target=answer_in_plain_text, args=(plain,))
        answering.start()
        file = folder / "sealyard.yaml"
        lines = [
            f"    upstream: https://127.0.0.1:{plain.getsockname()[1]}"
            if "upstream:" in line
            else line
            for line in file.read_text().splitlines()
        ]
        file.write_text("\n".join(lines) + "\n")
        upstream = examine(folder, status=3)["upstream"]
        answering.join(10)
    assert (upstream["verdict"], "plain HTTP" in upstream["text"]) == ("failed", True)


def answer_in_plain_text(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def audit_finding(folder: Path) -> dict[str, str]:
    found: dict[str, str] = examine(folder, status=0)["audit"]
    assert (found["verdict"], found["mend"]) == ("warning", "sealyard audit verify")
    assert found["place"].startswith(str(folder / "sealyard.yaml"))
    return found


def test_an_audit_log_whose_head_record_is_lost_is_found(folder: Path) -> None:
    assert "audit" not in examine(folder, status=0)
    (folder / ".audit.log.head").unlink()

    assert "no head record of this keyring" in audit_finding(folder)["text"]


def test_an_audit_log_that_was_cut_is_found(folder: Path) -> None:
    os.truncate(folder / "audit.log", 10)

    assert "its last lines are gone: line 2 ended at byte" in audit_finding(folder)["text"]


IN_A_MOUNT = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
FULL_DISK = """
mount -t tmpfs -o size=1m tmpfs "$1"
cp -r "$2/." "$1"
chmod -R go= "$1"
dd if=/dev/zero of="$1/ballast" bs=4k 2>/dev/null || true
exec "$3" -P -m proxy doctor --json --config "$1/sealyard.yaml"
"""


@pytest.mark.skipif(
    subprocess.run((*IN_A_MOUNT, "true"), capture_output=True, check=False).returncode != 0,  # noqa: S603 - a fixed command
    reason="needs a namespace to mount a small disk in",
)
def test_a_full_disk_is_found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = folder / "sealyard.yaml"
    file.write_text(file.read_text().replace("store: memory", "store: sqlite:keys.db"))
    (folder / "keys.db").touch(mode=0o600)
    disk = tmp_path_factory.mktemp("disk")
    done = subprocess.run(  # noqa: S603 - a fixed command
        (*IN_A_MOUNT, FULL_DISK, "sh", str(disk), str(folder), sys.executable),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    found = {one["check"]: one for one in json.loads(done.stdout)}

    assert done.returncode == 3
    assert (found["disk"]["verdict"], found["sqlite"]["verdict"]) == ("failed", "failed")
    assert found["disk"]["text"] == (
        f"{disk}: No space left on device: the keyring and the audit log and the store cannot be"
        " written; free the disk"
    )
    assert found["disk"]["mend"] == f"df -h {disk}"
    assert found["disk"]["place"].startswith(f"{disk}/sealyard.yaml:")


def under_a_passphrase(folder: Path, phrase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the keyring of a place under a passphrase that nobody would be given today."""
    file = folder / "sealyard.yaml"
    (folder / "keyring.jwe").unlink()
    written = file.read_text().replace("key: {file: root.key}", "passphrase: {file: phrase}")
    file.write_text(written)
    phrases = folder / "phrase"
    phrases.touch(mode=0o600)
    phrases.write_text(phrase)
    with monkeypatch.context() as before:
        before.setattr(Passphrase, "require_strength", lambda _: None)
        invoke("keys", "init", "--config", str(file))


def test_a_weak_passphrase_is_warned_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    under_a_passphrase(folder, "password1234", monkeypatch)
    finding = examine(folder, status=0)["passphrase"]
    assert finding["verdict"] == "warning"
    assert "common word" in finding["text"]
    assert "password1234" not in finding["text"]


def test_of_a_better_passphrase_nothing_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_a_passphrase(folder, "wortreich im alten Garten", monkeypatch)
    assert "passphrase" not in examine(folder, status=0)


def test_a_keyring_that_others_can_read_is_found(folder: Path) -> None:
    (folder / "keyring.jwe").chmod(0o644)
    keyring = examine(folder, status=3)["keyring"]
    assert (keyring["verdict"], "0644" in keyring["text"]) == ("failed", True)


def test_a_keyring_without_the_secret_of_an_index_is_found(folder: Path) -> None:
    file = folder / "sealyard.yaml"
    text = file.read_text()
    for old, new in (
        ("max_chars: 10000, string: true", "max_chars: 10000, string: true, index: {words: {}}"),
        ("encrypt: $.content", "encrypt: {select: $.content, index: behind}"),
        ("bind: [tenant, conversation]", "bind: [tenant, conversation, field]"),
        ("decrypt: tokens", "decrypt: $.*.content"),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    found = examine(folder, status=3)["index"]
    assert found["verdict"] == "failed"
    assert "values of content are refused: make one with `sealyard keys rotate" in found["text"]
    place = "--keyring", str(folder / "keyring.jwe"), "--root-file", str(folder / "root.key")
    invoke("keys", "rotate-index", *place)
    assert "index" not in examine(folder, status=0)


def test_mistakes_of_the_configuration_are_found(folder: Path) -> None:
    (folder / "sealyard.yaml").write_text("version: 1\n")
    assert examine(folder, status=3)["configuration"]["verdict"] == "failed"


def test_lines_are_for_people(folder: Path) -> None:
    config = str(folder / "sealyard.yaml")
    result = invoke("doctor", "--config", config)
    assert any(line.startswith("ok       keyring") for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("version", "reason", "verdict", "text"),
    [
        ("1.2.3", "", "ok", "sealyard-native 1.2.3 is in use"),
        ("", ABSENT, "ok", "sealyard-native is not in use: it is not installed"),
        ("", "1 is installed, and 2 is needed", "warning", "1 is installed, and 2 is needed"),
    ],
)
def test_it_tells_whether_native_leaves_are_in_use(
    monkeypatch: pytest.MonkeyPatch, version: str, reason: str, verdict: str, text: str
) -> None:
    monkeypatch.setattr(leaves, "NATIVE", version)
    monkeypatch.setattr(leaves, "REASON", reason)

    found = doctor._native()

    assert (found.check, found.verdict) == ("native", verdict)
    assert text in found.text


def test_the_command_tells_that_its_memory_is_guarded(tmp_path: Path) -> None:
    """In a process of its own: that of the tests is not."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "proxy", "doctor", "--config", "none.yaml", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert found["memory"]["verdict"] == "ok", found["memory"]
    assert "no core dumps" in found["memory"]["text"]


def test_it_tells_which_modules_have_the_keys_at_run_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = [one for one in doctor._environment() if one.check == "modules"]
    assert ssl.OPENSSL_VERSION in found.text
    assert openssl.backend.openssl_version_text() in found.text
    assert found.text.endswith("in FIPS mode: neither")
    monkeypatch.setattr(doctor, "get_fips_mode", lambda: 1)
    assert examine(folder, status=0)["modules"]["text"].endswith("in FIPS mode: Python")


def test_it_tells_how_long_stays_what_verbs_take_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert examine(folder, status=0)["freshness"]["verdict"] == "ok"
    read_only = lambda place, mode: mode != os.W_OK or Path(place) != folder.resolve()  # noqa: E731 - the tests run as root
    monkeypatch.setattr(os, "access", read_only)
    found = examine(folder, status=0)["freshness"]
    assert found["verdict"] == "warning"
    assert "this-process-until-restart" in found["text"]

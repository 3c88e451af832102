"""The example deploy/openbao: its commands, OpenBao with its configuration, and both roles."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.keys.keyring.roots.openbao import PROGRAM, needs_openbao
from tests.scenarios.rig import environment
from tests.servers import await_log, child, free_port

EXAMPLE: Final = Path(__file__).parents[4] / "deploy" / "openbao"
COMPOSE: Final = (EXAMPLE / "compose.yaml").read_text(encoding="utf-8")


def services() -> dict[str, Any]:
    """Return the services of the example."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return found


def run(folder: Path, *words: str, status: int = 0, **variables: str) -> str:
    """Run a command in the folder; return what it printed."""
    done = subprocess.run(  # noqa: S603 - the commands of the example, and Sealyard itself
        words,
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def sealyard(folder: Path, *words: str, status: int = 0, **variables: str) -> str:
    """Run a command of Sealyard; return what it printed."""
    return run(folder, sys.executable, "-P", "-m", "proxy", *words, status=status, **variables)


def laid_out(folder: Path) -> int:
    """Follow the first commands of the example, and lay out its files; return OpenBao's port."""
    block = COMPOSE.partition("once:\n#\n")[2].partition("\n#\n")[0]
    script = re.sub("^# *", "", block, flags=re.MULTILINE).partition("sudo chown")[0]
    run(folder, "sh", "-euc", script.replace("DNS:openbao", "IP:127.0.0.1"))
    port, cluster = free_port(), free_port()
    replaced = {
        "file:///vault/unseal.key": f"file://{folder}/vault/unseal.key",
        "/vault/openbao.pem": f"{folder}/keys/openbao.pem",
        "/vault/sidecar_secret_id": f"{folder}/keys/secret_id",
        '"/vault/operator_secret_id"': f'"{folder}/vault/secret_id"',
        '"/vault/openbao.key"': f'"{folder}/vault/openbao.key"',
        '"/vault/data"': f'"{folder}/vault/data"',
        "0.0.0.0:8200": f"127.0.0.1:{port}",
        "https://openbao:8200": f"https://127.0.0.1:{port}",
        "https://openbao:8201": f"https://127.0.0.1:{cluster}",
        "/etc/sealyard/keys": f"{folder}/keys",
        "/etc/sealyard/operator": f"{folder}/vault",
    }
    for name in ("openbao.hcl", "sealyard.yaml", "operator.yaml"):
        text = (EXAMPLE / name).read_text(encoding="utf-8")
        for old, new in replaced.items():
            text = text.replace(old, new)
        (folder / name).write_text(text)
    return port


@needs_openbao
def test_the_operator_makes_the_keyring_and_the_sidecar_opens_it(tmp_path: Path) -> None:
    laid_out(tmp_path)
    strict = ("openssl", "verify", "-x509_strict", "-CAfile", "keys/openbao.pem")
    assert "OK" in run(tmp_path, *strict, "keys/openbao.pem")  # as Python 3.13 verifies
    command = [str(PROGRAM), "server", f"-config={tmp_path / 'openbao.hcl'}"]
    made = ""
    for start in (1, 2):  # it unseals itself, and its key is there again
        log = tmp_path / f"openbao.log.{start}"
        with child(command, log) as process:
            await_log(process, log, "post-unseal setup complete")
            if not made:
                said = sealyard(tmp_path, "keys", "init", "--config", "operator.yaml")
                found = re.search(r"^keyring ([A-Za-z0-9_-]{22}),", said, re.MULTILINE)
                assert found is not None, said
                made = found.group(1)
            said = sealyard(
                tmp_path, "doctor", "--config", "sealyard.yaml", status=3, KEYRING_ID=made
            )
            assert "opens in" in said
            assert "the token may decrypt with `sealyard`, and not harm it" in said


def test_every_file_that_the_example_mounts_is_there_or_made() -> None:
    mounted = {
        volume.partition(":")[0] for one in services().values() for volume in one.get("volumes", [])
    }
    commands = COMPOSE.partition("name: ")[0]

    for one in mounted:
        assert (EXAMPLE / one).exists() or one.removeprefix("./") in commands, one


@pytest.mark.parametrize("name", sorted(services()))
def test_nothing_of_the_example_can_do_more_than_it_must(name: str) -> None:
    one = services()[name]

    assert (one["user"], one["read_only"], one["cap_drop"]) == ("65532:65532", True, ["ALL"])
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert ("keys" in one["networks"]) == (name != "backend")

"""The programs of docs/how-to/open-elsewhere.md open a token, and refuse one that was changed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.crypto import base64url, derivation
from proxy.core.crypto.context import Context
from tests.factories import KEK, SCOPE, a_session, a_sid

from .conftest import needs_jose

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "how-to" / "open-elsewhere.md").read_text("utf-8")
JARS = [Path("/usr/share/java") / f"{one}.jar" for one in ("jose4j", "slf4j-api")]
GO = Path("/usr/share/gocode/src")
GO_JOSE = "github.com/go-jose/go-jose"
CRYPTO = ("crypto", "sys", "text", "term")
VALUE = "Penicillin-Allergie 🌍".encode()


def snippet(language: str, at: int = 0) -> str:
    """Return a program of the page."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found[at])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a key, a token and a changed token."""
    key = base64url.encode(derivation.session_key(KEK, a_sid(), SCOPE).reveal()).decode()
    (tmp_path / "session.jwk").write_text(f'{{"kty": "oct", "use": "enc", "k": "{key}"}}')
    token = a_session(ephemeral=False).seal(VALUE, Context(SCOPE, field="content")).decode()
    (tmp_path / "token.txt").write_text(f"{token}\n")
    head, _, tag = token.rpartition(".")
    changed = f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"
    (tmp_path / "changed.txt").write_text(f"{changed}\n")
    return tmp_path


def holds(folder: Path, *command: str | Path, **environ: str) -> None:
    """Run a program for both tokens."""

    def run(token: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 - programs of the page
            [*command, "session.jwk", token],
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=300,
            env=environ or None,
        )

    opened, refused = run("token.txt"), run("changed.txt")
    assert opened.stdout == VALUE, opened.stderr.decode()
    assert refused.returncode != 0
    assert VALUE not in refused.stdout


def found(program: str) -> str:
    """Return where a program is; skip where it is not."""
    place = shutil.which(program)
    if place is None:
        pytest.skip(f"no {program}: ./dev packages installs it")
    return place


def test_python_opens_it(folder: Path) -> None:
    (folder / "opener.py").write_text(snippet("python"))
    holds(folder, sys.executable, "opener.py")


@needs_jose
def test_javascript_opens_it(folder: Path) -> None:
    (folder / "node_modules").symlink_to(Path(__file__).parent / "node_modules")
    (folder / "opener.mjs").write_text(snippet("js"))
    holds(folder, found("node"), "opener.mjs")


@pytest.mark.skipif(not JARS[0].exists(), reason="no jose4j: ./dev packages installs it")
def test_java_opens_it(folder: Path) -> None:
    (folder / "Open.java").write_text(snippet("java"))
    holds(folder, found("java"), "-cp", ":".join(map(str, JARS)), "Open.java")


@pytest.mark.skipif(not (GO / GO_JOSE).exists(), reason="no go-jose: ./dev packages installs it")
def test_go_opens_it(folder: Path) -> None:
    go = found("go")
    (folder / "main.go").write_text(snippet("go"))
    replaced = {f"{GO_JOSE}/v4": GO / GO_JOSE}
    replaced |= {f"golang.org/x/{one}": GO / "golang.org" / "x" / one for one in CRYPTO}
    lines = [f"require {name} v{4 if 'jose' in name else 0}.0.0" for name in replaced]
    lines += [f"replace {name} => {place}" for name, place in replaced.items()]
    (folder / "go.mod").write_text("\n".join(["module open", "go 1.24", *lines, ""]))
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GONOSUMDB": "*",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    built = subprocess.run(  # noqa: S603 - Debian's go
        [go, "build", "-o", "opener", "."],
        cwd=folder,
        env=environ,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr.decode()
    holds(folder, folder / "opener")


def test_the_command_in_c_opens_it(folder: Path) -> None:
    found("jose")
    script = snippet("sh", 1).replace("token.txt", '"$2"').replace("session.jwk", '"$1"')
    (folder / "opener.sh").write_text(f"{script}cat value\n")
    holds(folder, "/bin/sh", "opener.sh")

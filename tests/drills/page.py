"""The drills of docs/how-to/disasters.md: how soon each is seen, and the commands against it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config.settings.root_kinds import ROOT_KINDS
from tests.redis.pods import Place
from tests.scenarios.rig import environment

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "how-to" / "disasters.md"
PHRASE: Final = "a phrase for backups"
_AWAY: Final = "no service opens it, which could be away"


def _all(because: str) -> dict[str, str]:
    return dict.fromkeys(ROOT_KINDS, because)


_VAULT: Final = _all("the login, key and versions are those of Vault")
_TOKEN: Final = _all("the token, PIN and key are those of an HSM")
WHY_NOT: Final[Mapping[str, Mapping[str, str]]] = {
    "Vault is sealed or away": _all("of other services, it is the drill of the HSM"),
    "The HSM is away": dict.fromkeys(("file", "passphrase", "shares"), _AWAY),
    "Vault's token was revoked": _VAULT,
    "Vault's key was deleted": _VAULT,
    "Vault's key no longer decrypts its older versions": _VAULT,
    "The PIN of the HSM is wrong, or locked": _TOKEN,
    "The key on the HSM was destroyed": _TOKEN,
    "Too few shares are left": _all("it is about a split"),
    "The lease of a root has ended": {"shares": "no lease: people cannot be asked to renew one"},
    "The audit log is lost": _all("its key is in the keyring, whatever opened that"),
    "A certificate has expired": _all("no root is asked for a certificate"),
}
"""By drill, the kinds of root under which no test has it as a parameter, and why."""


@dataclass(frozen=True)
class Drill:
    """One section of the page."""

    title: str
    seconds: float
    scripts: tuple[str, ...]


def drills() -> dict[str, Drill]:
    """Return every drill of the page by its title."""
    _, *sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    found = {}
    for section in sections:
        title, _, rest = section.partition("\n")
        (seconds,) = re.findall(r"^\| within \| (\d+) s \|$", rest, re.MULTILINE)
        scripts = re.findall(r"^```sh\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
        found[title] = Drill(title, float(seconds), tuple(scripts))
    return found


@dataclass(frozen=True)
class Operator:
    """Who runs the scripts of the page, in a folder that has what the page says."""

    place: Place
    pods: tuple[Place, ...]

    def prepare(self) -> Operator:
        """Write the commands of the page: `sealyard`, and `distribute`."""
        tools = self.place.folder / "bin"
        tools.mkdir()
        folders = " ".join(f"'{pod.folder}'" for pod in self.pods)
        self._tool(tools / "sealyard", f'exec "{sys.executable}" -P -m proxy "$@"')
        self._tool(
            tools / "distribute",
            f"for pod in {folders}; do\n"
            '  cp -p "$1" "$pod/$1.new"\n'
            '  mv "$pod/$1.new" "$pod/$1"\n'
            "done",
        )
        return self

    def print_into(self, name: str) -> None:
        """Keep what commands print from now on in a file of the folder, too."""
        self._tool(
            self.place.folder / "bin" / "sealyard",
            f'out=$(mktemp); status=0; "{sys.executable}" -P -m proxy "$@" >"$out" || status=$?\n'
            f'cat "$out" >>\'{self.place.folder / name}\'; cat "$out"; rm "$out"; exit $status',
        )

    def _tool(self, path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\nset -eu\n{line}\n")
        path.chmod(0o700)

    def follow(
        self, script: str, *, status: int = 0, variables: Mapping[str, str] | None = None
    ) -> str:
        """Run a script of the page; return what it printed."""
        path = f"{self.place.folder / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(  # noqa: S603 - the commands of the page
            [shutil.which("sh") or "sh", "-euc", script],
            cwd=self.place.folder,
            env=environment(PATH=path, SEALYARD_BACKUP_PASSPHRASE=PHRASE, **(variables or {})),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        told = done.stdout + done.stderr
        assert done.returncode == status, f"{script}\n{told}"
        return told

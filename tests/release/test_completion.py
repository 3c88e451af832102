"""Completion, in the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(sys.executable).parent
PARTS = {
    "bash": (
        "source <(sealyard show completion bash); COMP_WORDS=(sealyard ke); COMP_CWORD=1;"
        " _sealyard_completion sealyard; printf '%s\\n' \"${COMPREPLY[@]}\""
    ),
    "fish": "sealyard show completion fish | source; complete -C 'sealyard ke'",
    # zsh completes only for a terminal: its own zpty is one.
    "zsh": (
        "zmodload zsh/zpty; zpty z zsh -f -i;"
        " zpty -w z 'autoload -Uz compinit; compinit -u -D;"
        " source <(sealyard show completion zsh)';"
        " zpty -w z 'print re\"\"ady'; zpty -r -m z line '*ready*'; print -r -- $line;"
        " zpty -n -w z $'sealyard ke\\t'; zpty -r -m z line '*keys*'; print -r -- $line; zpty -d z"
    ),
}


@pytest.mark.parametrize("shell", PARTS)
def test_a_shell_completes_a_command(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}: ./dev packages installs it")
    environ = {"PATH": f"{HERE}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "xterm"}
    done = subprocess.run(  # noqa: S603 - a shell of Debian
        [program, "-c", PARTS[shell]],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        timeout=60,
    )

    assert "sealyard keys" in done.stdout or "keys" in done.stdout.split()

"""One target under atheris: bytes that reach new code are kept and changed further."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import atheris

# It tells of each module.
with (
    contextlib.redirect_stderr(io.StringIO()),
    atheris.instrument_imports(include=["proxy", "tools.fuzz.targets"]),
):
    from .targets import TARGETS, timed


def main(arguments: list[str]) -> None:
    """Run `TARGET SECONDS CORPUS CRASHES`; libFuzzer ends the process."""
    name, seconds, corpus, crashes = arguments
    target = TARGETS[name]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=30",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        "-verbosity=0",
        f"-artifact_prefix={crashes}/{name}-",
    ]
    atheris.Setup(
        [name, *options, str(folder)],
        lambda data: timed(target.run, data),
        enable_python_coverage=True,
    )
    atheris.Fuzz()

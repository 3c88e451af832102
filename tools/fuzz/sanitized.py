"""`./dev fuzz-native SECONDS [TARGET]`: the native leaves under libFuzzer and AddressSanitizer.

The targets are in `tools/fuzz/native`. They watch our own code and memchr's; Rust's standard
library comes compiled, so that the sanitizer sees its allocations, and not its other accesses.
A compiler, its version of LLVM and that version's runtime must be here: Debian's rustc, cargo and
libclang-rt-19-dev are. `--again FILE` runs a saved crash once more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from . import seeds

_ROOT: Final = Path(__file__).parents[2]
_CRATE: Final = _ROOT / "tools" / "fuzz" / "native"
_CORPUS: Final = _ROOT / "tools" / "fuzz" / "corpus"
_CRASHES: Final = _ROOT / "tools" / "fuzz" / "crashes"
_DEBIAN_CRATES: Final = Path("/usr/share/cargo/registry")
_RUNTIME: Final = "/usr/lib/llvm-{0}/lib/clang/{0}/lib/linux"
_TRIPLE: Final = "x86_64-unknown-linux-gnu"
_COVERAGE: Final = ("inline-8bit-counters", "level=4", "pc-table", "trace-compares")
_FIGURES: Final = re.compile(
    r"stat::(number_of_executed_units|new_units_added|peak_rss_mb):\s+(\d+)"
)
_TARGETS: Final = re.compile(r'^    \("(\w+)", \w+\),$', re.MULTILINE)
_SPARE_SECONDS: Final = 120
_TOLD_LINES: Final = 60
_LONGEST: Final = 8192
_MISSING: Final = 3


class Toolchain(NamedTuple):
    """A compiler, and the runtime of the sanitizer that fits to its LLVM."""

    cargo: str
    rustc: str
    runtime: Path


def targets() -> list[str]:
    """Return the names of all targets."""
    return _TARGETS.findall((_CRATE / "src" / "targets.rs").read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Return 1 if a target broke a law or the sanitizer found something, 2 for wrong arguments."""
    names = targets()
    if len(arguments) == len(("--again", "FILE")) and arguments[0] == "--again":
        file = Path(arguments[1])
        return _start(_built(), file.name.removeprefix("native-").partition("-")[0], str(file))
    chosen = arguments[1:] or names
    if not arguments or not arguments[0].isdecimal() or not set(chosen) <= set(names):
        _say(f"usage: ./dev fuzz-native SECONDS [TARGET] | --again FILE; targets: {names}")
        return 2
    program = _built()
    _CRASHES.mkdir(exist_ok=True)
    share = max(1, int(arguments[0]) // len(chosen))
    broken = [name for name in chosen if _fuzz(program, name, share)]
    if broken:
        _say(f"crashes of {', '.join(broken)} are in {_CRASHES.relative_to(_ROOT)}")
    return 1 if broken else 0


def toolchain() -> Toolchain | None:
    """Return the first compiler here that has its runtime; None if there is none."""
    for folder in ("/usr/bin", *os.get_exec_path()):
        cargo, rustc = shutil.which("cargo", path=folder), shutil.which("rustc", path=folder)
        if cargo is not None and rustc is not None:
            told = subprocess.run([rustc, "-vV"], capture_output=True, text=True, check=False)  # noqa: S603 - found above
            version = re.search(r"^LLVM version: (\d+)", told.stdout, re.MULTILINE)
            runtime = Path(_RUNTIME.format(version[1] if version else "none"))
            if (runtime / "libclang_rt.fuzzer-x86_64.a").exists():
                return Toolchain(cargo, rustc, runtime)
    return None


def flags(runtime: Path) -> list[str]:
    """Return what rustc needs to build for libFuzzer and AddressSanitizer."""
    return [
        *("-Zsanitizer=address", "-Zexternal-clangrt", "-Cpasses=sancov-module"),
        *(f"-Cllvm-args=-sanitizer-coverage-{one}" for one in _COVERAGE),
        # The runtime must come before the C library; and it is not needed until the link's end.
        "-Zpre-link-args=-Wl,--no-as-needed",
        f"-Zpre-link-args={runtime}/libclang_rt.asan-x86_64.so",
        f"-Clink-arg=-Wl,-rpath,{runtime}",
        f"-Clink-arg=-Wl,--whole-archive,{runtime}/libclang_rt.fuzzer-x86_64.a,--no-whole-archive",
        *("-Clink-arg=-lstdc++", "-Clink-arg=-lm", "-Clink-arg=-lc"),
    ]


def _built() -> Path:
    found = toolchain()
    if found is None:
        _say("There is no rustc here with the sanitizer's runtime of its LLVM: `./dev packages`.")
        sys.exit(_MISSING)
    crates = ["--config", str(_ROOT / "native" / "debian.toml")]
    command = [found.cargo, "build", "--quiet", "--release", "--target", _TRIPLE]
    command += crates if _DEBIAN_CRATES.exists() else []
    environment = {
        **os.environ,
        "RUSTC": found.rustc,
        # Sanitizers are for nightly compilers alone, unless one says that one knows.
        "RUSTC_BOOTSTRAP": "1",
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags(found.runtime)),
    }
    # Debian's crates have other checksums than those of the Rust registry.
    (_CRATE / "Cargo.lock").unlink(missing_ok=True)
    subprocess.run(command, cwd=_CRATE, env=environment, check=True)  # noqa: S603 - found above
    return _CRATE / "target" / _TRIPLE / "release" / "sealyard-fuzz"


def _fuzz(program: Path, name: str, seconds: int) -> bool:
    """Run one target; return whether it broke a law."""
    folder = _CORPUS / f"native-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds.native(name)):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [
        *(f"-max_total_time={seconds}", f"-max_len={_LONGEST}", "-timeout=10"),
        *("-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0", "-use_value_profile=1"),
        f"-artifact_prefix={_CRASHES}/native-{name}-",
    ]
    return _start(program, name, *options, str(folder), seconds=seconds) != 0


def _start(program: Path, name: str, *options: str, seconds: int = 0) -> int:
    done = subprocess.run(  # noqa: S603 - built above
        [str(program), *options],
        env={**os.environ, "SEALYARD_FUZZ_TARGET": name},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + _SPARE_SECONDS,
        check=False,
    )
    told = dict(_FIGURES.findall(done.stderr))
    if done.returncode:
        _say("\n".join(done.stderr.splitlines()[:_TOLD_LINES]))
    runs = int(told.get("number_of_executed_units", 0))
    state = "CRASHED" if done.returncode else "ok"
    _say(f"{name:<12} {runs:>13,} runs, at most {told.get('peak_rss_mb', '?')} MiB   {state}")
    return done.returncode


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the benchmark must know of a peer to start it, and how it is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FILES: Final = Path(__file__).parent / "files"
ROOT: Final = FILES.parents[3]
PASSING: Final = frozenset({"pass", "list_pass"})
SEALING: Final = frozenset({"seal", "seal_16k", "seal_1m", "seal_8m", "whole", "list", "list_16m"})
SHAPES: Final = frozenset(
    {
        *("chat", "chat_cookie", "chat_path", "chat_heads", "chat_many", "chat_new"),
        *("chat_all_new", "chat_close_1", "chat_close_5", "chunked", "fhir", "fhir_many"),
        "whole_json",
    }
)
"""What differs from one message to the next, and how connections and answers are."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer is put: a folder for its files, its port, the backend's, and an AES-256 key.

    `store` is the port of the store that it may need.
    """

    folder: Path
    port: int
    backend: int
    key: bytes
    store: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy. `prepare` writes its configuration and returns its command.

    `absent` tells why it cannot be run here, or None; `version` what it is, for the tables.
    `works` names the kinds of work that it can do.
    """

    name: str
    works: frozenset[str]
    absent: Callable[[], str | None]
    version: Callable[[], str]
    prepare: Callable[[Place], list[str]]
    single: bool = True
    """Whether it is one process or thread that works, and so kept to one core."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that its process gets beside those of this one."""
    tls: bool = False
    """Whether clients reach it by TLS; its certificate is that of `certificate`."""
    beside: Callable[[Place], AbstractContextManager[None]] = lambda _: nullcontext()
    """Runs what it needs beside itself, whose CPU time is not its own."""


def fill(template: str, place: Place, **more: str) -> Path:
    """Write a configuration of this folder with its `{{names}}` filled in; return where it is."""
    values = {
        "folder": str(place.folder),
        "files": str(FILES),
        "port": str(place.port),
        "backend": str(place.backend),
        "key": place.key.hex(),
        **more,
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], (FILES / template).read_text())
    path = place.folder / template
    path.write_text(text)
    return path


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 and its key, and return where they are."""
    import trustme  # noqa: PLC0415 - takes memory, and peers that are weighed import this module

    issued = trustme.CA().issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return chain, key


def needs(*programs: str) -> str | None:
    """Return which program is not installed, as a reason, or None."""
    lacking = [one for one in programs if shutil.which(one) is None and not Path(one).exists()]
    return f"{lacking[0]} is not installed" if lacking else None


def said(pattern: str, *command: str) -> str:
    """Return what a command says of its version: the first group of the pattern."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, run.stdout + run.stderr)
    return found[1] if found else "of unknown version"

"""Writes archives that have the same bytes for the same files."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def write(target: Path, name: str, files: Mapping[str, bytes], at: int) -> Path:
    """Write these files under a folder of that name; all times are `at`, in seconds."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for place, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{name}/{place}")
            entry.size, entry.mtime, entry.mode = len(content), at, 0o644
            archive.addfile(entry, io.BytesIO(content))
    target.write_bytes(gzip.compress(held.getvalue(), mtime=at))
    return target

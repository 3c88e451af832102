"""Frames take the same memory whatever the body's size, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEBIBYTE = 1024 * 1024

# Seals and opens a body that is never there as a whole; tells by how many KiB the process grew.
PROGRAM = """
import hashlib
import sys
from pathlib import Path
from proxy.core.crypto import sealed_stream as frame
from proxy.core.crypto.context import Context
from tests.factories import NOW, SCOPE, a_session

def most():  # of this program alone: getrusage would tell of the one that started it, too
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

size, piece = int(sys.argv[1]), int(sys.argv[2])
session, context = a_session(), Context(SCOPE, kind="stream")
head, sealer = frame.begin(session, context, "")
told = frame.read_head(head)
opener = frame.opener(told, frame.read_stream(session.open(told.token, context, NOW)), context)
before = most()
sent, got = hashlib.sha256(), hashlib.sha256()
for at in range(size // piece):
    body = at.to_bytes(8) * (piece // 8)
    sent.update(body)
    got.update(opener.update(sealer.update(body)))
got.update(opener.update(sealer.finish()) + opener.finish())
assert sent.digest() == got.digest()
print(most() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("size", "piece"),
    [
        (MEBIBYTE, MEBIBYTE),
        (64 * MEBIBYTE, 65536),
        pytest.param(1024 * MEBIBYTE, 65536, marks=pytest.mark.slow),
    ],
    ids=["1 MiB at once", "64 MiB", "1 GiB"],
)
def test_sealing_and_opening_grow_by_less_than_16_mebibytes(size: int, piece: int) -> None:
    ran = subprocess.run(  # noqa: S603 - our own program, by our own interpreter
        [sys.executable, "-c", PROGRAM, str(size), str(piece)],
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"{size // MEBIBYTE} MiB: {ran.stdout.strip()} KiB")  # noqa: T201 - with `-s`, the figure
    assert int(ran.stdout) * 1024 < 16 * MEBIBYTE

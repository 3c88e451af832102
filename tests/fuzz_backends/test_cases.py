"""What `./dev fuzz-backends` found once stays mended, whatever server stands behind."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tools.fuzz.backends.answering import answering, echo
from tools.fuzz.backends.backend import mint
from tools.fuzz.backends.case import Kept, Marks, load
from tools.fuzz.backends.client import Client
from tools.fuzz.backends.oracle import canary, opened, victim
from tools.fuzz.backends.sidecar import own, serving

CASES = load(Path(__file__).parent / "cases")
NUMBER = 424242


@dataclass
class Recorder:
    """A backend that keeps every byte, unpacked too, and answers with nothing."""

    got: list[bytes] = field(default_factory=list)

    def answer(self, head: bytes, body: bytes) -> bytes:
        self.got.append(head + body)
        for unpacked in (gzip.decompress, zlib.decompress):
            with contextlib.suppress(OSError, EOFError, zlib.error):
                self.got.append(unpacked(body))
        return b""


@dataclass
class Rig:
    recorder: Recorder
    ports: Mapping[str, int]
    token: tuple[int, str]
    strays: list[bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    recorder = Recorder()
    strays: list[bytes] = []
    async with answering(recorder.answer, strays) as port, answering(echo) as echoing:
        upstreams = {"case": port, "echo": echoing}
        folder = tmp_path_factory.mktemp("cases") / "sealyard"
        with serving(folder, own(), upstreams) as sidecar:
            tokens = await mint(sidecar.ports["echo"]["pass"], 1)
            yield Rig(recorder, sidecar.ports["case"], next(iter(tokens.items())), strays)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kept", CASES, ids=lambda kept: kept.name)
async def test_what_was_found_stays_mended(rig: Rig, kept: Kept) -> None:
    key, token = rig.token
    rig.recorder.got.clear()
    client = Client(rig.ports[kept.case.world])
    answer = await client.ask(kept.case.render(Marks(canary(NUMBER), token, victim(key), "mine")))
    client.close()
    forwarded = b"\n".join(rig.recorder.got)
    if kept.what.startswith("refused"):
        assert answer.code is None, answer
    elif kept.what.startswith("sealed elsewhere"):
        assert answer.code is not None, forwarded
    else:
        assert not answer.hung
        assert answer.status not in {0, 500}, answer
        assert canary(NUMBER).encode() not in forwarded
        assert opened(key).encode() not in forwarded
    assert not rig.strays

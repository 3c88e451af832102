"""What a reload cannot apply, and what it takes all the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.config.settings import Settings
from proxy.core.errors import RestartNeeded, UnfitEnvironment
from proxy.wiring.reload import config_files
from proxy.wiring.reload.config_files import Source
from proxy.wiring.reload.reload import Reloader, require_none
from tests.factories import Ear
from tests.scenarios.rig import a_configuration
from tests.wiring.sources import given


def forwarding_to(upstream: str) -> Settings:
    text = a_configuration(3000).replace("http://127.0.0.1:3000", upstream)
    return given(text).loaded.settings


def test_a_listener_that_forwards_to_the_original_port_is_made_at_the_start_alone() -> None:
    """Only such a one asks for the port that its clients connected to."""
    fixed, original = forwarding_to("http://127.0.0.1:3000"), forwarding_to("original-port")
    for old, new in ((fixed, original), (original, fixed)):
        with pytest.raises(RestartNeeded) as raised:
            require_none(old, new, "sealyard.yaml")
        (problem,) = raised.value.problems
        assert "`api` begins or ceases to forward to `original-port`; restart" in problem


def test_another_upstream_needs_no_restart() -> None:
    old, new = forwarding_to("http://127.0.0.1:3000"), forwarding_to("http://127.0.0.1:3001")
    require_none(old, new, "sealyard.yaml")
    require_none(forwarding_to("original-port"), forwarding_to("original-port"), "sealyard.yaml")


class FullDisk:
    """An audit log without room for another line."""

    async def write(self, event: str, **_: object) -> None:
        raise UnfitEnvironment("audit-unavailable", detail=event)

    def note(self, event: str, **_: object) -> None: ...


class Nothing:
    """A part of the service that any configuration suits."""

    async def prepare(self, _: Source) -> Nothing:
        return self

    async def apply(self) -> None: ...

    async def discard(self) -> None: ...


@pytest.mark.parametrize("wrong", ["the disk is full", "the file has a mistake", ""])
async def test_what_takes_rights_away_is_taken_where_a_reload_is_refused(
    tmp_path: Path, wrong: str
) -> None:
    file, lessened = tmp_path / "sealyard.yaml", []
    file.write_text(a_configuration(3000))

    async def lessen() -> None:
        lessened.append(wrong)

    source = config_files.read(file, {})
    reloader = Reloader(source, [Nothing()], Ear(), environ={}, clock=time.time, lessen=lessen)
    if wrong == "the disk is full":
        reloader.trail = cast("Any", FullDisk())
    elif wrong:
        file.write_text("version: 1\nlisteners: none\n")
    assert (await reloader.reload("file")).accepted is not bool(wrong)
    assert lessened == ([wrong] if wrong else [])

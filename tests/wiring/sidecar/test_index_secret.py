"""A process that starts says that its keyring lacks the secret of an index."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from proxy.config.settings import Settings
from proxy.wiring.sidecar.sidecar import report_keyring
from tests.config.builders import loaded, with_rules
from tests.factories import Ear
from tests.keys.builders import a_world

INDEXED = loaded(
    with_rules(
        """\
      - name: r
        match: POST /r
        tenant: const:t
        conversation: $.c
        request: {encrypt: {select: $.content, index: behind}}
""",
        top="fields: {content: {index: {words: {}}}}\n",
    )
).settings
NOT_INDEXED = replace(INDEXED, listeners=())


@pytest.mark.parametrize(
    ("settings", "has", "told"),
    [(INDEXED, False, True), (INDEXED, True, False), (NOT_INDEXED, False, False)],
)
def test_it_tells_the_command_that_makes_one(settings: Settings, *, has: bool, told: bool) -> None:
    ear, keyring = Ear(), a_world().keyring
    if has:
        keyring = keyring.rotate_index(now=1, random=os.urandom)
    root = SimpleNamespace(by=SimpleNamespace(kind="file"))
    material = SimpleNamespace(settings=settings, keyring=keyring, root=root, keyring_ms=1)
    report_keyring(ear, material)  # type: ignore[arg-type]  # what it reads of the material
    warnings = [one["warning"] for one in ear.all("config.warning")]
    assert ["`sealyard keys rotate-index`" in one for one in warnings] == [True] * told

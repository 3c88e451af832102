"""What the admin API is told of everything that runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.config.settings import KeySettings, RootSettings, SecretReference
from proxy.config.settings.keys import KeyringSettings
from proxy.config.settings.store import StoreSettings
from proxy.core.crypto.context import Scope
from proxy.keys.operations.session_operations import SessionResult
from proxy.keys.operations.verb import Call, Done
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.samples import Facts, Samples
from proxy.wiring.admin.service_view import Carrier, ServiceView
from proxy.wiring.reload.reload import Reloader
from tests.factories import Ear

KEYS = KeySettings(
    KeyringSettings(Path("keyring"), (RootSettings("file", SecretReference(env="X")),)),
    StoreSettings("redis:"),
)


class OneResult:
    """A carrier that returns one result for every call."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.operations = self

    async def facts(self, seconds: float) -> Facts:
        return Facts((), Samples(), {})

    async def run(self, _: Call) -> Done:
        return self.done

    async def look(self) -> dict[str, Any]:
        raise NotImplementedError


class NoReloads:
    source = SimpleNamespace(loaded=SimpleNamespace(settings=SimpleNamespace(keys=KEYS)))

    def count(self, samples: Samples) -> None:
        pass


async def never() -> Any:  # noqa: ANN401 - nobody waits for it
    raise AssertionError


@pytest.mark.parametrize(
    ("store", "durable", "kept"),
    [(True, True, "keyring"), (False, True, "keyring"), (True, False, "store"),
     (False, False, "process")],
)  # fmt: skip
async def test_a_revocation_is_counted_by_where_it_is_kept(
    *, store: bool, durable: bool, kept: str
) -> None:
    result = SessionResult("scope", 7, (), None, store, durable)
    done = result.done("durable", "store", "kept")
    carrier = cast("Carrier", OneResult(done))
    view = ServiceView(carrier, cast("Reloader", NoReloads()), never, Ear())

    await view.run(Call("sessions.revoke", {"scope": Scope("t", "c"), "not_before": 7}))
    await view.run(Call("sessions.show", {"scope": Scope("t", "c")}))
    samples = await view.samples()

    counts = {name: samples.value(table.REVOCATIONS, name)
              for name in ("keyring", "store", "process")}  # fmt: skip
    assert counts == {**dict.fromkeys(counts, 0), kept: 1}

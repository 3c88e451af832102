"""Changes of configuration that no worker can check."""

from __future__ import annotations

import pytest

from proxy.core.errors import ConfigurationError, RestartNeeded, WorkerGone
from proxy.wiring.ipc.worker_process import WorkerCommand
from proxy.wiring.policy import HANDED_BYTES
from proxy.wiring.reload.config_files import Source
from proxy.wiring.workers.supervisor import Supervisor
from tests.scenarios.rig import a_configuration
from tests.scenarios.test_reload import Ear
from tests.wiring.sources import given

TEXT = a_configuration(3000)


def a_supervisor(*waits: str) -> Supervisor:
    """Return one without a running worker; `waits` say why each waits for a root, or ""."""
    command = WorkerCommand("json", "info", len(waits))
    supervisor = Supervisor(given(TEXT), Ear(), command, environ={})
    for slot, reason in zip(supervisor._slots, waits, strict=True):
        slot.waits = reason
    return supervisor


@pytest.mark.parametrize("waits", [("", ""), ("no-answer", "")])
async def test_nothing_is_accepted_between_the_death_of_all_workers_and_their_restart(
    waits: tuple[str, ...],
) -> None:
    supervisor = a_supervisor(*waits)
    for _ in range(2):  # it holds up nothing, the start of the next worker neither
        with pytest.raises(WorkerGone, match="no-worker"):
            await supervisor.prepare(given(a_configuration(3001)))


async def test_what_needs_a_restart_is_refused_while_all_workers_wait_for_a_root() -> None:
    supervisor = a_supervisor("no-answer", "no-answer")
    with pytest.raises(RestartNeeded):
        await supervisor.prepare(given(TEXT.replace("name: api", "name: other")))
    another = given(a_configuration(3001))
    await (await supervisor.prepare(another)).apply()
    assert supervisor._source is another


async def test_what_is_too_long_for_a_worker_is_refused_and_the_next_change_is_not() -> None:
    supervisor = a_supervisor("no-answer")
    slot = supervisor._slots[0]
    slot.waits, slot.worker = "", Worker()  # type: ignore[assignment]  # what is asked of it is alike
    known = given(a_configuration(3001))
    with pytest.raises(ConfigurationError) as refused:
        await supervisor.prepare(Source(known.loaded, "#" * HANDED_BYTES))
    assert "to be handed to a worker process" in refused.value.detail
    await (await supervisor.prepare(known)).apply()
    assert supervisor._source is known


class Worker:
    """A worker that answers, or refuses to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.refuses = False

    async def ask(self, what: str, _: float, **arguments: object) -> None:
        self.asked.append((what, arguments))
        if self.refuses:
            raise WorkerGone("worker-gone")


async def test_a_living_worker_is_told_which_others_have_ended_until_the_store_knows() -> None:
    supervisor, living = a_supervisor("", ""), Worker()
    supervisor._slots[1].worker = living  # type: ignore[assignment]  # what is asked of it is alike
    await supervisor._bury()
    assert living.asked == []
    supervisor._dead = {"aa", "bb"}
    living.refuses = True
    await supervisor._bury()
    living.refuses = False
    await supervisor._bury()
    await supervisor._bury()
    assert living.asked == [("bury", {"processes": ["aa", "bb"]})] * 2

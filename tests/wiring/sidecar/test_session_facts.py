"""How sessions and their store stand, for probes, scrapers and operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.settings import (
    KeySettings,
    RootSettings,
    SecretReference,
    SessionKeys,
)
from proxy.config.settings.keys import KeyringSettings
from proxy.config.settings.store import StoreSettings
from proxy.core.crypto.token import decode
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions.sessions import SessionMode
from proxy.process.circuit_breaker import NO_TRIAL
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.prometheus_text import exposed
from proxy.telemetry.metrics.samples import Check, Samples
from proxy.wiring.sidecar import session_facts
from tests.keys.builders import (
    CONTEXT,
    NOW,
    SCOPE,
    BrokenStore,
    SharedStore,
    Time,
    World,
    a_keyring,
    a_world,
    seal_need,
)

ROOT = RootSettings("file", SecretReference(env="X"))


def the_keys(store: str = "redis", mode: SessionMode = "durable") -> KeySettings:
    return KeySettings(
        KeyringSettings(Path("keyring"), (ROOT,)), StoreSettings(store), SessionKeys(mode)
    )


def the_checks(world: World, keys: KeySettings) -> dict[str, Check]:
    return {check.name: check for check in session_facts.checks(world.sessions, keys)}


def counted(world: World, keys: KeySettings) -> Samples:
    samples = Samples()
    session_facts.count(world.sessions, keys, samples)
    return samples


async def test_a_store_within_the_process_is_nothing_to_check() -> None:
    world = a_world()
    assert not the_checks(world, the_keys("memory"))
    told = {name for name, *_ in counted(world, the_keys("memory")) if "store" in name}
    assert told == {"sealyard_store_room"}


async def test_a_shared_store_that_answers_and_is_heard_is_well() -> None:
    world = a_world(store=SharedStore(Time()))
    assert the_checks(world, the_keys())["store"] == Check("store", True, "redis answers, durable")  # noqa: FBT003 - the check's own `ok`


async def test_a_redis_that_is_not_heard_says_how_late_revocations_are() -> None:
    store = SharedStore(Time())
    store.subscribed = False
    check = the_checks(a_world(store=store), the_keys())["store"]
    assert (check.ok, check.degraded, "within 30 s" in check.detail) == (True, True, True)
    assert not the_checks(a_world(store=store), the_keys("sqlite:/keys.db"))["store"].degraded


@pytest.mark.parametrize(
    ("mode", "said"), [("durable", "durable sessions continue"), ("ephemeral", "get 503")]
)
async def test_a_store_that_is_down_says_which_kind_goes_on_and_stays_ready(
    mode: SessionMode, said: str
) -> None:
    world = a_world(store=BrokenStore(shared=True, subscribed=True), mode=mode)
    keys = the_keys(mode=mode)
    for _ in range(3):
        world.sessions.store.breaker.failed(NO_TRIAL)
    check = the_checks(world, keys)["store"]
    assert (check.ok, check.degraded, said in check.detail) == (True, True, True)
    samples = counted(world, keys)
    assert samples.value(table.STORE_BREAKER, "redis", "open") == 1
    assert samples.value(table.STORE_BREAKER, "redis", "closed") == 0
    assert samples.value(table.STORE_OPENED, "redis") == 1
    world.time.advance(2)
    assert counted(world, keys).value(table.STORE_BREAKER, "redis", "half-open") == 1


async def test_hits_and_misses_are_told_apart() -> None:
    world = a_world(store=SharedStore(Time()))
    assert session_facts.status(world.sessions)["session_hit_ratio"] is None
    for _ in range(4):
        await world.sessions.resolve(seal_need())
    samples = counted(world, the_keys())
    assert samples.value(table.LOOKUPS, "hit") == 3
    assert samples.value(table.LOOKUPS, "miss") == 1
    assert session_facts.status(world.sessions)["session_hit_ratio"] == 0.75
    assert samples.value(table.STORE_OPERATIONS, "redis", "answered") == 1


async def test_the_use_of_each_kek_is_shown_by_its_id() -> None:
    world = a_world(keyring=a_keyring("k2"))
    session = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    need = Needs({}, frozenset({(SCOPE, decode(session.seal(b"x", CONTEXT)).key_id)}))
    opening = (await world.sessions.resolve(need)).opening
    world.sessions.remember(dict.fromkeys(opening.values(), 1))
    keys = the_keys("memory")
    samples = counted(world, keys)
    assert samples.value(table.KEK_OPENED, "k1") == 1
    assert samples.value(table.KEK_OPENED_AT, "k1") == NOW
    assert samples.value(table.KEK_SESSIONS, "k1") == 1
    assert session_facts.status(world.sessions)["keks_opened"] == {"k1": {"opened": 1, "last": NOW}}
    world.sessions.replace_keyring(world.keyring.promote("k2").disable("k1").remove("k1"))
    assert counted(world, keys).value(table.KEK_OPENED, "removed-1") == 1


def test_of_times_of_several_workers_the_latest_counts_and_a_scraper_sees_a_gauge() -> None:
    ours, theirs, gone = Samples(), Samples(), Samples()
    for samples, at in ((ours, 5), (theirs, 9), (gone, 7)):
        samples.add(table.KEK_OPENED_AT, at, labels=("k1",))
    ours.merge(theirs)
    ours.merge(gone, gauges=False)
    assert ours.value(table.KEK_OPENED_AT, "k1") == 9
    text = exposed(ours).body.decode()
    assert "# TYPE sealyard_kek_last_opened_timestamp_seconds gauge" in text
    assert 'sealyard_kek_last_opened_timestamp_seconds{kek="k1"} 9.0' in text


def test_a_kek_that_was_removed_is_not_told_by_what_a_dead_worker_counted() -> None:
    alive, gone = Samples(), Samples()
    gone.add(table.KEK_CREATED, 7, labels=("removed",))
    gone.add(table.KEK_STATE, 1, labels=("removed", "primary"))
    alive.merge(gone, gauges=False)

    assert list(alive) == []


async def test_a_kek_tells_when_it_was_made_and_what_it_is_for() -> None:
    world = a_world()
    samples = counted(world, the_keys("memory"))
    (one,) = world.sessions.keyring.keks

    assert samples.value(table.KEK_CREATED, one.id) == one.created > 0
    assert samples.value(table.KEK_STATE, one.id, "primary") == 1


async def test_the_dates_of_sessions_are_counted_and_told() -> None:
    world = a_world()
    assert counted(world, the_keys("memory")).value(table.SESSION_DUE) == 0
    await world.sessions.resolve(seal_need())
    world.time.advance(3)  # what was found is kept for a moment
    samples, told = counted(world, the_keys("memory")), session_facts.status(world.sessions)

    assert samples.value(table.SESSION_CREATED) == NOW
    due = samples.value(table.SESSION_DUE)
    assert NOW < due <= NOW + 3600
    assert samples.value(table.SESSION_EXPIRY) == 0
    assert [one["soft_end"] for one in told["sessions_due"]] == [due]


async def test_ephemeral_sessions_have_a_hard_end() -> None:
    world = a_world(mode="ephemeral")
    await world.sessions.resolve(seal_need())
    keys = the_keys("memory", "ephemeral")
    samples = counted(world, keys)

    assert (
        samples.value(table.SESSION_EXPIRY)
        == samples.value(table.SESSION_DUE) + keys.sessions.grace
    )

"""How session keys and their store stand in one process: for probes, scrapers and operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from ...config.settings import KeySettings
from ...core.errors import UnfitEnvironment
from ...keys.fleet.watch import STATES, KeyringWatch
from ...keys.sessions.sessions import Sessions
from ...keys.stores import check
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples
from ...telemetry.reporter import Reporter

_GOES_ON = {
    "durable": "durable goes on, and processes do not share sessions or hear of revocations",
    "ephemeral": "ephemeral seals with the keys at hand until their soft end, and refuses (503)"
    " what needs another one",
}
"""What a store that does not answer means for each kind of sessions."""


_KEYRING_IS: Final = {
    "older": "its file is older than what is in use and was not taken",
    "behind": "other processes have a later generation",
    "forked": "another keyring of this generation differs",
    "mismatch": "another keyring is used in the same store",
    "unverified": "what the store says of it is forged",
}


def keyring_check(watch: KeyringWatch) -> Check:
    """Return whether the keyring can be worked with, and what about it is not as it should be.

    Only a process that began without the KEK that the fleet seals under is not ready.
    """
    keyring = watch.lineage.keyring
    told = f"primary {keyring.primary.id}, generation {keyring.generation}"
    if watch.lacking:
        text = "begun without the KEK that the fleet seals under: give it the current keyring"
        return Check("keyring", ok=False, detail=f"{told}: {text}")
    wrong = [text for state, text in _KEYRING_IS.items() if watch.states[state]]
    if watch.lineage.behind is not None and watch.lineage.lacks:
        wrong.append("what they seal does not open here")
    return Check("keyring", True, "; ".join([told, *wrong]), degraded=bool(wrong))  # noqa: FBT003 - the check's own `ok`


def checks(sessions: Sessions, keys: KeySettings) -> Iterator[Check]:
    """Yield the conditions of readiness that concern the store.

    A store that is down takes no process out of service: what goes on without it would stop too.
    """
    store = sessions.store
    if not store.shared:
        return
    kind = kind_of(keys)
    if store.breaker.state != "closed":
        yield Check("store", True, f"{kind} does not answer: {_GOES_ON[keys.mode]}", degraded=True)  # noqa: FBT003 - the check's own `ok`
    elif kind == "redis" and not store.subscribed:
        within = f"{keys.revocation_max_age:g} s"
        text = f"{kind} answers and is not heard: revocations arrive within {within}"
        yield Check("store", True, text, degraded=True)  # noqa: FBT003 - see above
    else:
        yield Check("store", True, f"{kind} answers, {keys.mode}")  # noqa: FBT003 - see above


def count(sessions: Sessions, keys: KeySettings, samples: Samples) -> None:
    """Add what there is to say of sessions, KEKs and the store."""
    sealing, opening = sessions.cached
    samples.add(table.SESSIONS, sealing, labels=("sealing",))
    samples.add(table.SESSIONS, opening, labels=("opening",))
    _count_due(sessions, keys, samples)
    hits, misses = _lookups(sessions)
    samples.add(table.LOOKUPS, hits, labels=("hit",))
    samples.add(table.LOOKUPS, misses, labels=("miss",))
    for number, use in sessions.use.total.items():
        # After a merge, several may have one number: what was used counts for each of them.
        names = [one.id for one in sessions.keyring.keks if one.number == number]
        for name in names or [f"removed-{number}"]:
            samples.add(table.KEK_OPENED, use.opened, labels=(name,))
            samples.add(table.KEK_SESSIONS, use.sessions, labels=(name,))
            if use.last_opened:
                samples.add(table.KEK_OPENED_AT, use.last_opened, labels=(name,))
    keyring = sessions.keyring
    samples.add(table.KEYRING_GENERATION, keyring.generation, labels=(keyring.id,))
    for one in keyring.keks:
        samples.add(table.KEK_CREATED, one.created, labels=(one.id,))
        samples.add(table.KEK_STATE, 1, labels=(one.id, one.state))
    if (room := sessions.store.room) is not None:
        samples.add(table.STORE_ROOM, room.taken, labels=(kind_of(keys), "taken"))
        free = max(room.most - room.taken, 0)
        samples.add(table.STORE_ROOM, free, labels=(kind_of(keys), "free"))
    if sessions.store.shared:
        _count_store(sessions, kind_of(keys), samples)


def count_keyring(watch: KeyringWatch, samples: Samples) -> None:
    """Add how the keyring stands to that of the fleet."""
    for state in STATES:
        samples.add(table.KEYRING_STATE, int(watch.states[state]), labels=(state,))


def status(sessions: Sessions) -> dict[str, Any]:
    """Return names and numbers for an operator."""
    hits, misses = _lookups(sessions)
    uses = sessions.use.total
    return {
        "sessions": dict(zip(("sealing", "opening"), sessions.cached, strict=True)),
        "session_hit_ratio": round(hits / (hits + misses), 4) if hits + misses else None,
        "sessions_due": [asdict(one) for one in sessions.due().first],
        "keyring": {
            "id": sessions.keyring.id,
            "generation": sessions.keyring.generation,
            "digest": sessions.keyring.digest,
        },
        "keks": {one.id: one.state for one in sessions.keyring.keks},
        "keks_opened": {
            one.id: {"opened": uses[one.number].opened, "last": uses[one.number].last_opened}
            for one in sessions.keyring.keks
            if one.number in uses
        },
    }


def kind_of(keys: KeySettings) -> str:
    """Return the kind of the store; its address may hold names that concern nobody."""
    return keys.store.partition(":")[0]


def _count_due(sessions: Sessions, keys: KeySettings, samples: Samples) -> None:
    dates = sessions.due()
    if not dates.first:
        return
    samples.add(table.SESSION_CREATED, dates.created)
    samples.add(table.SESSION_DUE, dates.due)
    if keys.mode == "ephemeral":
        samples.add(table.SESSION_EXPIRY, dates.due + keys.grace)


def _count_store(sessions: Sessions, kind: str, samples: Samples) -> None:
    store = sessions.store
    asked = {"answered": store.answered, "failed": store.failed, "rejected": store.rejected}
    for result, number in asked.items():
        samples.add(table.STORE_OPERATIONS, number, labels=(kind, result))
    for state in ("closed", "open", "half-open"):
        samples.add(table.STORE_BREAKER, int(store.breaker.state == state), labels=(kind, state))
    samples.add(table.STORE_OPENED, store.breaker.opened, labels=(kind,))
    samples.add(table.STORE_SUBSCRIBED, int(store.subscribed), labels=(kind,))


def _lookups(sessions: Sessions) -> tuple[int, int]:
    """Return how many plans found their sessions at hand, and how many did not."""
    plans, asked = sessions.lookups.plans, sessions.lookups.asked
    return max(plans - asked, 0), asked


SECONDS: Final = 1.0
"""A start waits no longer for a store; one that is down keeps nobody from starting."""


async def require(
    keys: KeySettings,
    reporter: Reporter,
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float],
    seconds: float = SECONDS,
) -> None:
    """Report what is risky; raise UnfitEnvironment, naming it all, for what will never work.

    A store that says nothing for `seconds` may be well again soon: it is reported.
    """
    findings = await check.examined(keys, environ, clock=clock, seconds=seconds)
    hopeless = [one.text for one in findings if one.verdict == "failed" and not one.passing]
    if hopeless:
        raise UnfitEnvironment("unfit-store", detail=" ".join(hopeless))
    for one in findings:
        if one.verdict in {"warning", "failed"}:
            reporter.report("store.warning", store=kind_of(keys), check=one.check, warning=one.text)

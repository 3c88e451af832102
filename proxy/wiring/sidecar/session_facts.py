"""Checks, samples and status of the session keys, the keyring and the store of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ...config.settings import KeySettings, RedisSettings
from ...core.errors import UnfitEnvironment
from ...keys.fleet.watch import STATES, KeyringWatch
from ...keys.sessions.sessions import Sessions
from ...keys.stores import check_store
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples
from ...telemetry.reporter import Reporter
from ..policy import STORE_START_SECONDS

if TYPE_CHECKING:  # only for a store that processes share
    from ...keys.fleet.lease import Lease

_WITHOUT_STORE = {
    "durable": "durable sessions continue, without sharing sessions or receiving revocations",
    "ephemeral": "ephemeral sessions seal with cached keys until their soft end, and messages"
    " that need another key get 503",
}
"""The effect of a store that does not answer, by kind of sessions."""


_KEYRING_STATES: Final = {
    "older": "its file is older than the keyring in use and was refused",
    "behind": "other processes have a later generation",
    "forked": "another state of it was changed independently",
    "mismatch": "another keyring is used in the same store",
    "unsigned": "its file was refused: it is not signed, or does not follow from the one in use",
    "unverified": "its record in the store is not authentic",
}


def keyring_check(watch: KeyringWatch) -> Check:
    """Return the check of the keyring, degraded where it differs from that of other processes.

    It fails only in a process that started without the KEK that the others seal under, or whose own
    they have disabled.
    """
    keyring = watch.lineage.keyring
    summary = f"primary {keyring.primary.id}, generation {keyring.generation}"
    if watch.lacking:
        text = (
            "started without the KEK that other processes seal under: install the current keyring"
        )
        return Check("keyring", ok=False, detail=f"{summary}: {text}")
    if watch.lineage.barred:
        text = "other processes have disabled or destroyed the KEK that would seal here, so nothing"
        text += " is sealed: install the current keyring"
        return Check("keyring", ok=False, detail=f"{summary}: {text}")
    missing = watch.lineage.missing
    wrong = [text for state, text in _KEYRING_STATES.items() if watch.states[state]]
    if missing:
        wrong.append(f"this process has KEKs that this file lacks ({', '.join(missing)})")
    if watch.lineage.behind is not None and watch.lineage.lacks:
        wrong.append("values that they seal do not open here")
    return Check("keyring", True, "; ".join([summary, *wrong]), degraded=bool(wrong))  # noqa: FBT003 - the check's own `ok`


def checks(sessions: Sessions, keys: KeySettings) -> Iterator[Check]:
    """Yield the readiness checks of the store.

    A store that is down makes no process unready: what works without it would stop too.
    """
    store = sessions.store
    if not store.shared:
        return
    kind = kind_of(keys)
    if store.breaker.state != "closed":
        text = f"{kind} does not answer: {_WITHOUT_STORE[keys.sessions.mode]}"
        yield Check("store", True, text, degraded=True)  # noqa: FBT003 - the check's own `ok`
    elif sessions.clock.off:
        yield Check("store", True, _clock_text(sessions, kind), degraded=True)  # noqa: FBT003 - see above
    elif kind == "redis" and not store.subscribed:
        within = f"{keys.sessions.revocation_max_age:g} s"
        text = f"{kind} answers, but without a subscription: revocations arrive within {within}"
        yield Check("store", True, text, degraded=True)  # noqa: FBT003 - see above
    else:
        yield Check("store", True, f"{kind} answers, {keys.sessions.mode}")  # noqa: FBT003 - see above


def _clock_text(sessions: Sessions, kind: str) -> str:
    ahead = sessions.clock.ahead or 0.0
    way = "ahead of" if ahead > 0 else "behind"
    text = f"{kind} answers, and its clock is {abs(ahead):.0f} s {way} ours"
    if sessions.clock.wrong:
        return f"{text}: sessions are not shared, and nothing can be revoked here"
    return f"{text}: above 90 s, sessions are not shared"


def lease_check(lease: Lease | None, *, without_store: bool) -> Iterator[Check]:
    """Yield the check of the lease under which a process seals, degraded while it has none."""
    if lease is None:
        return
    if lease.away and without_store:
        text = "seals without the store: what is revoked or disabled meanwhile does not reach it"
        yield Check("lease", True, text, degraded=True)  # noqa: FBT003 - the check's own `ok`
    elif not lease.held:
        text = "has ended: values to be sealed get 503 until the store answers"
        yield Check("lease", True, text, degraded=True)  # noqa: FBT003 - see above
    else:
        yield Check("lease", True)  # noqa: FBT003 - see above


def pending_check(number: int) -> Iterator[Check]:
    """Yield a degraded check where the store has not taken some revocations yet."""
    if number:
        text = f"the store has not taken {number}, so other processes do not know of them yet"
        yield Check("revocations", True, text, degraded=True)  # noqa: FBT003 - see above


def count(sessions: Sessions, keys: KeySettings, samples: Samples) -> None:
    """Add the samples of sessions, KEKs and the store."""
    sealing, opening = sessions.cached
    samples.add(table.SESSIONS, sealing, labels=("sealing",))
    samples.add(table.SESSIONS, opening, labels=("opening",))
    _count_due(sessions, keys, samples)
    hits, misses = _lookups(sessions)
    samples.add(table.LOOKUPS, hits, labels=("hit",))
    samples.add(table.LOOKUPS, misses, labels=("miss",))
    names = {one.number: one.id for one in sessions.keyring.keks}
    for number, use in sessions.use.total.items():
        name = names.get(number, f"removed-{number}")
        samples.add(table.KEK_OPENED, use.opened, labels=(name,))
        samples.add(table.KEK_SESSIONS, use.sessions, labels=(name,))
        if use.last_opened:
            samples.add(table.KEK_OPENED_AT, use.last_opened, labels=(name,))
    keyring = sessions.keyring
    samples.add(table.KEYRING_GENERATION, keyring.generation, labels=(keyring.id,))
    samples.add(table.KEYRING_REVOCATIONS, len(keyring.revocations))
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
    """Add the states of the keyring, compared with that of other processes."""
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
    """Return the kind of the store."""
    return keys.store.address.partition(":")[0]


def address_of(keys: KeySettings) -> str:
    """Return where the store is, for the log; "" for memory. It never has a password in it."""
    options = keys.store.options
    if not isinstance(options, RedisSettings):
        return keys.store.address.partition(":")[2]
    nodes = getattr(options.address, "nodes", (options.address,))
    return ", ".join(map(str, nodes))


def _count_due(sessions: Sessions, keys: KeySettings, samples: Samples) -> None:
    dates = sessions.due()
    if not dates.first:
        return
    samples.add(table.SESSION_CREATED, dates.created)
    samples.add(table.SESSION_DUE, dates.due)
    if keys.sessions.mode == "ephemeral":
        samples.add(table.SESSION_EXPIRY, dates.due + keys.sessions.grace)


def _count_store(sessions: Sessions, kind: str, samples: Samples) -> None:
    store = sessions.store
    results = {"answered": store.answered, "failed": store.failed, "rejected": store.rejected}
    for result, number in results.items():
        samples.add(table.STORE_OPERATIONS, number, labels=(kind, result))
    for operation, durations in store.durations.items():
        samples.add(table.STORE_DURATION, *durations.values, labels=(kind, operation))
    for state in ("closed", "open", "half-open"):
        samples.add(table.STORE_BREAKER, int(store.breaker.state == state), labels=(kind, state))
    samples.add(table.STORE_OPENED, store.breaker.opened, labels=(kind,))
    ahead = sessions.clock.ahead
    if ahead is not None:
        samples.add(table.STORE_CLOCK_SKEW, round(ahead, 3), labels=(kind,))
    samples.add(table.STORE_SUBSCRIBED, int(store.subscribed), labels=(kind,))


def _lookups(sessions: Sessions) -> tuple[int, int]:
    """Return how many plans found their sessions in the cache, and how many did not."""
    plans, misses = sessions.lookups.plans, sessions.lookups.asked
    return max(plans - misses, 0), misses


async def require(
    keys: KeySettings,
    reporter: Reporter,
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float],
    seconds: float = STORE_START_SECONDS,
) -> None:
    """Report risky findings; raise UnfitEnvironment, naming all, for what can never work.

    A store that does not answer within `seconds` may recover: it is only reported.
    """
    findings = await check_store(keys, environ, clock=clock, seconds=seconds)
    fatal = [one.text for one in findings if one.verdict == "failed" and not one.passing]
    if fatal:
        raise UnfitEnvironment("unfit-store", detail=" ".join(fatal))
    for one in findings:
        if one.verdict in {"warning", "failed"}:
            reporter.report("store.warning", store=kind_of(keys), check=one.check, warning=one.text)

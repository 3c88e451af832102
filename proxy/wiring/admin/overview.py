"""What `/v1/status` and `/v1/status/leaks` tell, made from the facts of all workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ...config.settings import ListenerSettings, Settings
from ...core.rules.model import Behaviour, Rule, Verdict
from ...keys.policy import SHOWN_DUE
from ...telemetry.metrics import table
from ...telemetry.metrics.metric import Metric
from ...telemetry.metrics.samples import Facts, Labels, Samples


def overview(settings: Settings, facts: Facts) -> dict[str, Any]:
    """Return checks, rules with their counts, and keys with their dates, for JSON."""
    return {
        "checks": [asdict(check) for check in facts.checks],
        "rules": _rules(settings, facts.samples),
        "keys": {
            "mode": settings.keys.sessions.mode,
            "ttl_s": settings.keys.sessions.ttl,
            "grace_s": settings.keys.sessions.grace,
            "store": settings.keys.store.address.partition(":")[0],
            "keyrings": _keyrings(facts.samples),
            "keyring_states": _keyring_states(facts.samples),
            "keks": _keks(facts.samples),
            "sessions": _sessions(facts.status),
            "sealing": int(facts.samples.value(table.SESSIONS, "sealing")),
        },
    }


def leaks(settings: Settings, samples: Samples) -> dict[str, Any]:
    """Return what rules would have done, do not cover and do not seal, for JSON.

    `sensitive` is None where no listener looks for it.
    """
    looks = any(one.ladder.finds_sensitive for one in settings.listeners)
    return {
        "messages": _counted(samples, table.TRIALS),
        "values": _counted(samples, table.TRIAL_VALUES),
        "uncovered": _counted(samples, table.UNCOVERED),
        "sensitive": _counted(samples, table.SENSITIVE) if looks else None,
    }


def _counted(samples: Samples, metric: Metric) -> list[dict[str, str | int]]:
    return [
        {**dict(zip(metric.labels, labels, strict=True)), "number": int(value)}
        for labels, value in _rows(samples, metric)
    ]


def _rules(settings: Settings, samples: Samples) -> list[dict[str, Any]]:
    messages, values = _by_rule(samples, table.MESSAGES), _by_rule(samples, table.VALUES)
    matched = dict(_rows(samples, table.RULE_MATCHED))

    def counted(listener: str, rule: str) -> dict[str, int]:
        key = listener, rule
        return {**messages[key], **values[key]}

    rows: list[dict[str, Any]] = []
    for listener in settings.listeners:
        for rule in listener.rules:
            last = matched.get((listener.name, rule.name), 0)
            shown = {**_rule(listener, rule), "counts": counted(listener.name, rule.name)}
            rows.append({**shown, "last_matched": last or None})
        rows.append(
            {
                "listener": listener.name,
                "rule": None,
                "match": [],
                "does": ["passes" if listener.pass_unmatched else "is rejected"],
                "counts": counted(listener.name, ""),
                "last_matched": None,
            }
        )
    return rows


def _rule(listener: ListenerSettings, rule: Rule) -> dict[str, Any]:
    return {
        "listener": listener.name,
        "rule": rule.name,
        "match": [pattern.text for pattern in rule.patterns],
        "does": [*_does("request", rule.request), *_does("response", rule.response)],
    }


def _does(direction: str, behaviour: Behaviour) -> Iterator[str]:
    if isinstance(behaviour, Verdict):
        if behaviour is Verdict.REJECT:
            yield f"rejects {direction}s"
        return
    for verb, items in (
        ("seals", [item for block in behaviour for item in block.encrypt]),
        ("opens", [item for block in behaviour for item in block.decrypt]),
        ("searches", [item for block in behaviour for item in block.search]),
    ):
        fields = dict.fromkeys(item.field or "tokens" for item in items)
        if fields:
            place = "in" if verb == "searches" else "of"
            yield f"{verb} {', '.join(fields)} {place} {direction}s"
        for item in items:
            if verb == "seals" and item.form == "equal":
                yield f"makes equal tokens of equal {item.field} in {direction}s"
            if item.audience is not None:
                yield f"gives {item.field}: {item.audience}"


def _keyrings(samples: Samples) -> list[dict[str, Any]]:
    """Return the keyrings in use; during a change, workers may differ."""
    return [
        {"id": keyring, "generation": int(generation)}
        for (keyring,), generation in _rows(samples, table.KEYRING_GENERATION)
    ]


def _keyring_states(samples: Samples) -> list[str]:
    """Return the states of the keyring that need attention."""
    return [state for (state,), number in _rows(samples, table.KEYRING_STATE) if number]


def _keks(samples: Samples) -> list[dict[str, Any]]:
    opened = dict(_rows(samples, table.KEK_OPENED))
    opened_at = dict(_rows(samples, table.KEK_OPENED_AT))
    started = dict(_rows(samples, table.KEK_SESSIONS))
    states: dict[str, str] = {}
    for (kek, state), _ in _rows(samples, table.KEK_STATE):
        # During a change, workers may differ.
        states[kek] = state if states.get(kek, state) == state else "changing"
    return [
        {
            "kek": kek,
            "state": states.get(kek, ""),
            "created": created,
            "opened": int(opened.get((kek,), 0)),
            "last_opened": opened_at.get((kek,)),
            "sessions": int(started.get((kek,), 0)),
        }
        for (kek,), created in _rows(samples, table.KEK_CREATED)
    ]


def _sessions(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sessions that are due first; one that several workers use appears once."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for process in status.get("workers", [status]):
        for one in process.get("sessions_due", ()):
            key = one["scope"], one["sid"]
            sealed = one["sealed"] + (merged[key]["sealed"] if key in merged else 0)
            merged[key] = {**one, "sealed": sealed}
    return sorted(merged.values(), key=lambda one: float(one["soft_end"]))[:SHOWN_DUE]


def _by_rule(samples: Samples, metric: Metric) -> defaultdict[tuple[str, str], dict[str, int]]:
    """Return counts by listener and rule, and by the last label, over all others."""
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for labels, value in _rows(samples, metric):
        counts, last = found[labels[0], labels[1]], labels[-1]
        counts[last] = counts.get(last, 0) + int(value)
    return found


def _rows(samples: Samples, metric: Metric) -> Iterator[tuple[Labels, float]]:
    return ((labels, values[0]) for name, labels, values in samples if name == metric.name)

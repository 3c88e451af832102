"""The ledger of the ladder: days, restarts, other rules under an old name, bounds; its verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.support.steps import judged
from proxy.config.settings import (
    KeySettings,
    ListenerSettings,
    Settings,
    TcpAddress,
    UpstreamSettings,
)
from proxy.config.settings.keys import KeyringSettings
from proxy.core.expressions.routes import parse_pattern
from proxy.core.rules.model import Block, Rule, Verdict
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.samples import Samples
from proxy.wiring.admin.ladder_counts import (
    OTHER,
    Ledger,
    fingerprint,
    from_json,
    mode_of,
    rows,
    to_json,
)
from proxy.wiring.policy import LADDER_REFUSALS, LADDER_UNLISTED
from tests.factories import an_item

DAY = 86_400
ROOT = Path(__file__).parents[3]
OPENING = Block(decrypt=(an_item("$.a"),))
SEALING = Block(encrypt=(an_item("$.a"),))
LATE = 10.0 * DAY


def a_rule(*blocks: Block, observes: bool = False, name: str = "r") -> Rule:
    return Rule(name, (parse_pattern("/a"),), request=blocks or (OPENING,), observes=observes)


def permissive(until: float) -> Rule:
    return a_rule(replace(OPENING, permissive_until=until))


def settings(*rules: Rule) -> Settings:
    listener = ListenerSettings(
        "api",
        TcpAddress("h", 1),
        UpstreamSettings(TcpAddress("h", 2)),
        pass_unmatched=True,
        rules=rules,
    )
    return Settings(KeySettings(KeyringSettings(Path("k"), ())), (listener,))


def samples(messages: int = 0, *refusals: tuple[str, int], rule: str = "r") -> Samples:
    made = Samples()
    made.add(table.MESSAGES, messages, labels=("api", rule, "forwarded"))
    for reason, number in refusals:
        made.add(table.WOULD_REFUSE, number, labels=("api", rule, "response", reason, "ios"))
    return made


def told(ledger: Ledger, rule: Rule, now: float, days: int = 0) -> dict[str, Any]:
    (row,) = verdicts(settings(rule), ledger, now, days)
    return row


def verdicts(settings: Settings, ledger: Ledger, now: float, days: int = 0) -> list[dict[str, Any]]:
    """Return what `sealyard status --steps` makes of what was counted."""
    counted = {"at": int(now), "counted_since": 0, "kept": True, "overflown": ledger.overflown}
    return list(judged({**counted, "rules": rows(settings, ledger.stages)}, days)["rules"])


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans(), st.floats(0, 2 * DAY)),
        max_size=12,
    )
)
def test_nothing_is_lost_or_counted_twice_over_takes_and_restarts(
    steps: list[tuple[int, int, bool, float]],
) -> None:
    rule, now = a_rule(observes=True), LATE
    ledger, messages, refusals = Ledger({}), 0, 0
    ledger.take(settings(rule), samples(), now)
    for more, refused, restarts, later in steps:
        messages, refusals, now = messages + more, refusals + refused, now + later
        ledger.take(settings(rule), samples(messages, ("not-a-token", refusals)), now)
        if restarts:
            ledger = Ledger(
                from_json(json.loads(json.dumps(to_json(settings(rule), ledger.stages))))
            )
            messages = refusals = 0

    stage = ledger.stages["api", "r"]
    assert stage.messages == sum(step[0] for step in steps)
    assert sum(one.messages for one in stage.would_refuse.values()) == sum(
        step[1] for step in steps
    )
    assert told(ledger, rule, now)["since"] == int(LATE)


def test_only_the_days_that_are_asked_for_count() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    ledger.take(settings(rule), samples(5, ("not-a-token", 2)), LATE)
    ledger.take(settings(rule), samples(9, ("not-a-token", 2)), LATE + 8 * DAY)

    now = LATE + 8 * DAY
    assert told(ledger, rule, now, 0)["because"] == ["2 of 9 messages would be refused"]
    week = told(ledger, rule, now, 7)
    assert (week["safe"], week["messages"], week["would_refuse"]) == (True, 9, [])
    assert told(ledger, rule, now, 9)["because"] == [
        "2 of 9 messages would be refused",
        "8.0 of 9 days are over",
    ]


@pytest.mark.parametrize(
    "changed",
    [a_rule(SEALING, observes=True), permissive(LATE * 9), a_rule(observes=False)],
)
def test_another_rule_or_mode_begins_anew(changed: Rule) -> None:
    ledger = Ledger({})
    ledger.take(settings(a_rule(observes=True)), samples(5, ("not-a-token", 2)), LATE)
    ledger.take(settings(changed), samples(6, ("not-a-token", 2)), LATE + DAY)

    row = told(ledger, changed, LATE + DAY)
    assert (row["messages"], row["would_refuse"], row["seen"]) == (1, [], True)
    assert row["since"] == int(LATE + DAY)


def unlisted(messages: int, *clients: str, process: int = 1, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of each type
    """Return a row of what a process has seen."""
    seen = {"process": process, "listener": "api", "rule": "r", "place": "$.*#abcdef"}
    counts = {"messages": messages, "clients": list(clients), "sensitive": False, "selector": ""}
    return {**seen, **counts, **more}


def test_unlisted_names_are_summed_over_processes_takes_and_restarts() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    rows_of = (
        [unlisted(2, "a"), unlisted(5, "b", process=2)],
        [unlisted(3, "a"), unlisted(6, "b", process=2, selector="$.n")],
        [unlisted(1, "c", process=3), unlisted(7, "d", process=2)],
    )
    for seen in rows_of:
        assert ledger.take(settings(rule), samples(), LATE, seen)
    assert not ledger.take(settings(rule), samples(), LATE, rows_of[-1])
    ledger = Ledger(from_json(json.loads(json.dumps(to_json(settings(rule), ledger.stages)))))

    (row,) = told(ledger, rule, LATE)["unlisted"]
    assert row == {
        "place": "$.*#abcdef",
        "messages": 2 + 7 + 1 + 1,
        "clients": ("a", "b", "c"),
        "sensitive": False,
        "selector": "$.n",
    }


def test_a_place_that_made_room_and_came_again_counts_from_its_return() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    for messages in (9, 2):
        ledger.take(settings(rule), samples(), LATE, [unlisted(messages)])
    assert ledger.stages["api", "r"].unlisted["$.*#abcdef"].messages == 11


def test_a_sensitive_value_takes_the_selector_back() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    ledger.take(settings(rule), samples(), LATE, [unlisted(20, selector="$.n")])
    ledger.take(settings(rule), samples(), LATE, [unlisted(21, selector="", sensitive=True)])
    assert ledger.stages["api", "r"].unlisted["$.*#abcdef"].selector == ""


def test_the_rarest_unlisted_place_makes_room_and_only_observing_rules_count() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    many = [unlisted(2, place=f"$.*#{number:06x}") for number in range(LADDER_UNLISTED)]
    ledger.take(settings(rule), samples(), LATE, [*many[1:], unlisted(1), many[0]])
    held = ledger.stages["api", "r"].unlisted
    assert len(held) == LADDER_UNLISTED
    assert "$.*#abcdef" not in held

    ledger.take(settings(a_rule()), samples(), LATE, [unlisted(50, process=9)])
    assert not ledger.stages["api", "r"].unlisted


def test_permissive_ends_by_itself() -> None:
    rule, ledger = permissive(LATE + DAY), Ledger({})
    assert (mode_of(rule, LATE), mode_of(rule, LATE + DAY)) == ("permissive", "enforce")
    ledger.take(settings(rule), samples(5, ("not-a-token", 2)), LATE)
    ledger.take(settings(rule), samples(5, ("not-a-token", 2)), LATE + 2 * DAY)
    row = told(ledger, rule, LATE + 2 * DAY)
    assert (row["mode"], row["next"], row["safe"], row["because"]) == ("enforce", None, None, [])
    assert row["until"] == LATE + DAY


@pytest.mark.parametrize(
    ("rule", "above"),
    [
        (a_rule(observes=True), "permissive"),
        (a_rule(SEALING, observes=True), "enforce"),
        (Rule("r", (), request=Verdict.REJECT, observes=True), "enforce"),
        (permissive(LATE * 2), "enforce"),
        (a_rule(), None),
    ],
)
def test_what_opens_nothing_needs_no_mode_permissive(rule: Rule, above: str | None) -> None:
    ledger = Ledger({})
    ledger.take(settings(rule), samples(), LATE)
    assert told(ledger, rule, LATE)["next"] == above


def test_what_no_rule_is_named_for_counts_against_all_that_observe() -> None:
    observing, other = a_rule(observes=True), a_rule(name="s")
    ledger, both = Ledger({}), settings(observing, other)
    made = samples(3)
    made.merge(samples(4, ("ambiguous-path", 2), rule=""))
    ledger.take(both, made, LATE)

    first, second = verdicts(both, ledger, LATE)
    assert first["because"] == [
        "2 requests beside the rules would be refused for their path or method"
    ]
    assert [one["rule"] for one in first["would_refuse"]] == [None]
    assert (second["safe"], second["because"], second["would_refuse"]) == (None, [], [])


def test_a_websocket_that_is_still_open_counts_as_a_message() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    ledger.take(settings(rule), samples(0, ("not-a-token", 1)), LATE)

    assert told(ledger, rule, LATE)["because"] == ["1 of 1 messages would be refused"]


def test_what_could_not_be_counted_makes_nothing_safe() -> None:
    rule, ledger, made = a_rule(observes=True), Ledger({}), samples(3)
    made.add(table.WOULD_REFUSE, 1, labels=("other",) * 5)
    ledger.take(settings(rule), made, LATE)
    assert told(ledger, rule, LATE)["because"] == [
        "there are more kinds of refusals than can be counted"
    ]


def test_messages_that_came_long_ago_make_nothing_safe() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    ledger.take(settings(rule), samples(5), LATE)
    now = LATE + 8 * DAY

    assert told(ledger, rule, now, 7)["because"] == ["no message came"]
    assert told(ledger, rule, now, 0)["safe"] is True


def test_the_ledger_is_bounded() -> None:
    rule, ledger = a_rule(observes=True), Ledger({})
    kinds = [(f"reason-{number}", number + 1) for number in range(3 * LADDER_REFUSALS)]
    ledger.take(settings(rule), samples(1, *kinds), LATE)
    held = ledger.stages["api", "r"].would_refuse
    assert len(held) == LADDER_REFUSALS + 1
    assert sum(one.messages for one in held.values()) == sum(number for _, number in kinds)
    assert held[OTHER].messages > 0
    ledger.take(settings(), samples(), LATE)
    assert ledger.stages == {}


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "3", '{"version": 2, "rules": []}', '{"version": 1, "rules": [{"mode": "x"}]}',
     '{"version": 1, "rules": {"a": 1}}', '{"version": 1, "rules": [1]}'],
)  # fmt: skip
def test_a_file_of_another_form_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(json.loads(text))


_PRINT = """\
import sys
from pathlib import Path
from typing import Any
from proxy.config.load import load
from proxy.wiring.admin.ladder_counts import fingerprint
for path in map(Path, sys.argv[1:]):
    for listener in load(path, {"SEALYARD_PASSPHRASE": "x"}).settings.listeners:
        for rule in listener.rules:
            print(rule.name, fingerprint(rule))
"""


def test_a_rule_has_one_fingerprint_in_every_process_and_mode() -> None:
    examples = [
        path
        for path in sorted((ROOT / "config" / "examples").glob("*.yaml"))
        if not path.name.endswith(".cases.yaml")
    ]
    prints = []
    for seed in ("1", "2"):
        line = [sys.executable, "-c", _PRINT, *map(str, examples)]
        done = subprocess.run(  # noqa: S603 - our own code
            line, env={"PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=True
        )
        prints.append(done.stdout.split("\n"))
    assert prints[0] == prints[1]
    assert len(prints[0]) > 40

    modes = [a_rule(), a_rule(observes=True), permissive(LATE), permissive(2 * LATE)]
    assert len({fingerprint(one) for one in modes}) == 1
    assert fingerprint(a_rule(SEALING)) != fingerprint(a_rule())

"""What `sealyard status --leaks` writes for a person: what is most urgent comes first."""

from __future__ import annotations

from typing import Any

from proxy.cli.support import leaks


def counted(**rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"messages": [], "values": [], "uncovered": [], "sensitive": None, **rows}


def met(rule: str, outcome: str, number: int, direction: str = "request") -> dict[str, Any]:
    named = {"listener": "api", "rule": rule, "direction": direction}
    return {**named, "outcome": outcome, "number": number}


def beside(shape: str, number: int) -> dict[str, Any]:
    kinds = {"request_type": "json", "response_type": "json"}
    return {"listener": "api", "method": "POST", "shape": shape, **kinds, "number": number}


def sensitive(member: str, number: int) -> dict[str, Any]:
    at = {"listener": "api", "rule": "send", "method": "", "shape": "", "direction": "request"}
    return {**at, "member": member, "kind": "name: health", "number": number}


def test_what_leaks_stands_before_what_would_be_refused_and_most_before_few() -> None:
    told = "\n".join(
        leaks.lines(
            counted(
                messages=[
                    met("calm", "changed", 9000),
                    met("few", "missing-value", 2),
                    met("many", "changed", 5),
                    met("many", "unfit-value", 3),
                    met("many", "missing-value", 40),
                ],
                uncovered=[beside("/rare", 1), beside("/often", 700)],
                sensitive=[sensitive("$.rare", 4), sensitive("$.often", 17)],
            )
        )
    )

    order = ["$.often", "$.rare", "POST /often", "POST /rare", "api / many", "api / few"]
    order += ["api / calm"]
    assert sorted(order, key=told.index) == order
    assert "requests:  40 refused: missing-value, 3 refused: unfit-value, 5 changed" in told


def test_the_least_refusal_of_a_rule_stands_before_what_passes() -> None:
    rows = [met("b", "changed", 9), met("a", "changed", 8), met("a", "missing-value", 1)]

    lines = list(leaks.lines(counted(messages=rows)))

    assert [one for one in lines if one.startswith("api")] == ["api / a", "api / b"]


def test_nothing_that_leaks_and_nothing_observed_are_told_apart() -> None:
    calm = counted(messages=[met("send", "changed", 3)])

    assert not leaks.any_of(calm)
    assert leaks.any_of(counted(messages=[met("send", "names-sealed-field", 1)]))
    assert leaks.any_of(counted(uncovered=[beside("/x", 1)]))
    assert leaks.any_of(counted(sensitive=[sensitive("$.x", 1)]))
    assert next(leaks.lines(counted())).startswith("Nothing observed")

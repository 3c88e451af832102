"""What the status says of rules."""

from __future__ import annotations

from typing import Any

from proxy.cli.support import figures
from proxy.telemetry.metrics.samples import Facts, Samples
from proxy.wiring.admin.overview import overview
from tests.config.builders import loaded, with_rules

RULES = """
      - name: add
        match: POST /users
        request: {encrypt: [$.email, $.name]}
"""
FIELDS = """
fields:
  email: {form: equal, bind: [tenant, field], accept_leakage: true}
"""


def test_a_status_tells_which_rules_make_equal_tokens() -> None:
    told = overview(loaded(with_rules(RULES, top=FIELDS)).settings, Facts((), Samples(), {}))
    equal = "makes equal tokens of equal email in requests"
    assert told["rules"][0]["does"] == ["seals email, name of requests", equal]
    lines = shown(told)
    assert lines.count(f"  {equal}") == 1
    assert "add" in lines[lines.index(f"  {equal}") - 1]


def test_a_status_tells_what_searches_have_found() -> None:
    told = overview(loaded(with_rules(RULES, top=FIELDS)).settings, Facts((), Samples(), {}))
    assert not any("searched" in one for one in shown(told))
    told["rules"][0]["counts"] = {"forwarded": 4, "searched": 3, "found": 2, "filtered": 1}
    lines = shown(told)
    line = lines.index("  searched 3 times: 2 found, 1 filtered")
    assert "add" in lines[line - 2]


def shown(told: dict[str, Any]) -> list[str]:
    status = {
        **told,
        "version": "1",
        "ready": True,
        "uptime_s": 5,
        "last_reload": None,
        "listeners": [],
        "configuration": {
            "file": "sealyard.yaml", "loaded_at": 0, "sha256": "x", "rules": 1, "warnings": 0,
        },
    }  # fmt: skip
    return list(figures.lines(status))

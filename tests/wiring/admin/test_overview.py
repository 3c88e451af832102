"""What the status says of rules."""

from __future__ import annotations

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
    lines = list(figures.lines(status))
    assert lines.count(f"  {equal}") == 1
    assert "add" in lines[lines.index(f"  {equal}") - 1]

from __future__ import annotations

import pytest

from proxy.config.settings import RuleLog
from tests.config.builders import SMALL, loaded, problems_of, with_rules

RULES = """\
      - name: send
        match: POST /a
        log: {sample: 0.1}
      - name: quiet
        match: POST /b
        log: {level: warning}
      - name: other
        match: POST /c
"""


def test_a_rule_says_which_lines_are_written() -> None:
    log = loaded(with_rules(RULES)).settings.listeners[0].log

    assert log == {"send": RuleLog(0.1), "quiet": RuleLog(1.0, errors_only=True)}


def test_defaults_say_it_for_rules_that_do_not() -> None:
    text = with_rules(RULES, defaults="{tenant: const:t, log: {sample: 0.5}}")

    assert loaded(text).settings.listeners[0].log["other"] == RuleLog(0.5)
    assert loaded(text).settings.listeners[0].log["send"] == RuleLog(0.1)


def test_nothing_said_is_nothing_kept() -> None:
    assert loaded(SMALL).settings.listeners[0].log == {}


@pytest.mark.parametrize(
    "sample", ["0", "0.0", "1.5", "2", "-0.1", "'0.1'", "10%", "[0.1]", "0.0000001"]
)
def test_what_is_no_share_is_a_mistake(sample: str) -> None:
    (problem,) = problems_of(with_rules(RULES.replace("0.1", sample)))

    assert "log.sample" in problem


def test_a_level_is_one_of_two() -> None:
    (problem,) = problems_of(with_rules(RULES.replace("warning", "debug")))

    assert "log.level" in problem

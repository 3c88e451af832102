from __future__ import annotations

from proxy.core.rules.model import Verdict
from tests.factories import a_block, a_rule


def test_the_blocks_of_a_rule_are_those_of_both_directions() -> None:
    sealed, opened = a_block(encrypt=["$.a"]), a_block(decrypt=["$.a"])

    assert a_rule(request=sealed, response=opened).blocks == (sealed, opened)
    assert a_rule(request=(sealed, opened), response=Verdict.REJECT).blocks == (sealed, opened)
    assert a_rule(request=Verdict.PASS, response=opened).blocks == (opened,)

from __future__ import annotations

import pytest

from proxy.core.rules.model import Verdict, field_of
from tests.factories import a_block, a_rule


def test_the_blocks_of_a_rule_are_those_of_both_directions() -> None:
    sealed, opened = a_block(encrypt=["$.a"]), a_block(decrypt=["$.a"])

    assert a_rule(request=sealed, response=opened).blocks == (sealed, opened)
    assert a_rule(request=(sealed, opened), response=Verdict.REJECT).blocks == (sealed, opened)
    assert a_rule(request=Verdict.PASS, response=opened).blocks == (opened,)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "$"),
        (["name"], "name"),
        (["patient", "name"], "patient.name"),
        (["doctor", "name"], "name"),
        (["patient", "address", "street"], "patient.address.street"),
        (["patient.name"], "patient/name"),
        (["patient.a.b"], "patient/a.b"),
        (["patient", "address.street"], "patient.address~1street"),
        (["patient", "~1.a"], "patient.~01~1a"),
        (["doctor.name"], "doctor.name"),
        (["patient"], "patient"),
    ],
)
def test_a_field_of_a_distinct_object_is_no_member_that_is_spelled_so(
    names: list[str], expected: str
) -> None:
    assert field_of(names, {"patient"}) == expected

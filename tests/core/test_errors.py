from __future__ import annotations

import pytest

from proxy.core import errors
from proxy.core.errors import (
    ConfigurationError,
    DescriptionError,
    InvalidExpression,
    MessageError,
    OperatorError,
    SealyardError,
    TrafficError,
    traffic_errors,
)

STATUSES = {
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    415,
    417,
    422,
    429,
    431,
    500,
    501,
    502,
    503,
    504,
    508,
}

each_traffic_error = pytest.mark.parametrize("kind", traffic_errors())


def every(kind: type[SealyardError] = SealyardError) -> set[type[SealyardError]]:
    return {kind}.union(*(every(one) for one in kind.__subclasses__()))


DECLARED = sorted(
    (
        one
        for one in every()
        if one.__module__.startswith(f"{errors.__name__}.") and "code" in vars(one)
    ),
    key=lambda one: one.__name__,
)


def test_every_code_is_one_errors_own() -> None:
    codes = [kind.code for kind in DECLARED if kind is not SealyardError]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", DECLARED)
def test_every_error_says_what_happened(kind: type[SealyardError]) -> None:
    assert kind.title.endswith(".")
    assert kind.title[0].isupper()
    assert kind.__doc__


@each_traffic_error
def test_every_error_of_the_traffic_port_has_cause_remedy_and_status(
    kind: type[TrafficError],
) -> None:
    assert kind.status in STATUSES
    assert kind.cause.endswith(".")
    assert kind.remedy.endswith(".")
    assert kind.code == kind.code.lower().replace("_", "-").replace(" ", "-")


@each_traffic_error
def test_no_two_errors_share_a_title(kind: type[TrafficError]) -> None:
    assert [kind] == [one for one in traffic_errors() if one.title == kind.title]


def test_the_catalogue_is_ordered_and_whole() -> None:
    listed = traffic_errors()
    assert sorted(listed, key=lambda one: (one.status, one.code)) == list(listed)
    assert {one for one in DECLARED if issubclass(one, TrafficError)} == set(listed)


def test_a_fault_in_a_response_is_the_backends() -> None:
    assert MessageError.response_status == 502
    kinds = [one for one in traffic_errors() if issubclass(one, MessageError)]
    kinds.remove(errors.CallerMayNotOpen)  # the answer is right, and not for this caller
    assert errors.CallerMayNotOpen.response_status == 403
    assert {502} == {one.response_status for one in kinds}
    assert len(kinds) >= 7


def test_an_error_without_a_reason_gives_its_code() -> None:
    error = errors.OpenFailed()
    assert (error.reason, error.detail, str(error)) == ("open-failed", "", "open-failed")


def test_an_error_keeps_reason_and_detail_apart() -> None:
    error = errors.ValueTooLong("value-too-long", detail="content: too long.")
    assert (error.reason, error.detail) == ("value-too-long", "content: too long.")
    assert "content" not in str(error)


def test_a_configuration_error_keeps_every_problem() -> None:
    error = ConfigurationError(("a.yaml:1:1 x", "a.yaml:2:1 y"))
    assert error.problems == ("a.yaml:1:1 x", "a.yaml:2:1 y")
    assert error.detail == "a.yaml:1:1 x\na.yaml:2:1 y"


def test_an_invalid_expression_keeps_message_and_hint() -> None:
    error = InvalidExpression("wrong", hint="right")
    assert (error.message, error.hint, error.detail) == ("wrong", "right", "right")
    assert isinstance(error, OperatorError)


def test_a_description_error_holds_all_problems() -> None:
    error = DescriptionError(("a.yaml:1:1 x", "a.yaml:2:1 y"))
    assert error.problems == ("a.yaml:1:1 x", "a.yaml:2:1 y")
    assert error.detail == "a.yaml:1:1 x\na.yaml:2:1 y"
    assert error.reason == "description-error"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto.context import KIND_BODY, KIND_STREAM, Context, Scope
from proxy.core.errors import MissingValue

names = st.none() | st.text(max_size=5)
contexts = st.builds(
    Context,
    scope=st.builds(Scope, tenant=names, conversation=names, parties=st.none()),
    field=names,
    message=names,
    purpose=names,
    kind=st.sampled_from([None, KIND_BODY, KIND_STREAM]),
)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (Context(), ""),
        (Context(Scope("a")), "01 00000001 61"),
        (Context(Scope(None, "bc")), "02 00000002 6263"),
        (Context(field="f"), "03 00000001 66"),
        (Context(message="m"), "04 00000001 6d"),
        (Context(purpose="p"), "05 00000001 70"),
        (Context(kind="body"), "06 00000004 626f6479"),
        (Context(Scope("ü", "")), "01 00000002 c3bc 02 00000000"),
        (
            Context(Scope("t", "c"), "f", "m", "p", "stream"),
            """01 00000001 74 02 00000001 63 03 00000001 66
               04 00000001 6d 05 00000001 70 06 00000006 73747265616d""",
        ),
    ],
)
def test_a_context_is_label_length_and_text(context: Context, expected: str) -> None:
    assert bytes.fromhex(expected) == context.encode()


def test_a_scope_is_the_context_of_tenant_and_conversation() -> None:
    scope = Scope("clinic", "c1")
    assert Context(scope).encode() == scope.encode()
    assert Context(scope, "field", "m", "p", "body").encode().startswith(scope.encode())


def test_a_part_not_bound_differs_from_an_empty_one() -> None:
    assert Context(field="").encode() != Context().encode()


@given(contexts, contexts)
def test_two_contexts_never_meet_in_one_encoding(one: Context, other: Context) -> None:
    assert (one == other) == (one.encode() == other.encode())


@pytest.mark.parametrize(
    "context",
    [
        Context(Scope("\ud800")),
        Context(Scope(None, "a\udfff")),
        Context(field="\ud83d"),
        Context(message="\ude00"),
        Context(purpose="\ud800"),
    ],
)
def test_half_a_surrogate_pair_is_no_name(context: Context) -> None:
    with pytest.raises(MissingValue) as caught:
        context.encode()
    assert caught.value.reason == "name-not-unicode"

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.injector.admission_review import patch
from proxy.injector.pod_reader import Json
from tests.injector.pods import applied

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text("a/~", max_size=2)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
        | st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("xyz")}, optional={"v": inner}),
            max_size=4,
        )
    ),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text("ab/~", max_size=2), VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_leads_from_one_document_to_the_other(before: Json, after: Json) -> None:
    # Compared as text, since True == 1 in Python and not in JSON.
    made = applied(before, patch(before, after))

    assert json.dumps(made, sort_keys=True) == json.dumps(after, sort_keys=True)


@given(DOCUMENTS)
def test_equal_documents_need_no_patch(document: Json) -> None:
    assert patch(document, document) == []


def test_an_insertion_into_a_list_touches_nothing_beside_it() -> None:
    before = {"containers": [{"name": "a"}, {"name": "b"}]}
    after = {"containers": [{"name": "new"}, {"name": "a"}, {"name": "b", "x": 1}]}

    assert patch(before, after) == [
        {"op": "add", "path": "/containers/0", "value": {"name": "new"}},
        {"op": "add", "path": "/containers/2/x", "value": 1},
    ]


def test_true_and_one_are_not_the_same() -> None:
    assert patch({"a": True}, {"a": 1}) == [{"op": "replace", "path": "/a", "value": 1}]

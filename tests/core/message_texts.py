"""Strategies for messages of JSON, with the names that rules of the tests read, and their like."""

from __future__ import annotations

import json
from typing import Final

from hypothesis import strategies as st

from proxy.core.crypto.context import Context
from tests.core.json_texts import documents, literals, scalars, spaces
from tests.factories import SCOPE, a_session

NAMES: Final = ("content", "subject", "conversationId", "id", "meta", "room")
_odd_keys = st.one_of(
    st.sampled_from(['"Content"', '"CONVERSATIONID"', '"c\\u006fntent"', '"x"', '"content"']),
    st.sampled_from(['"\u017fubject"', '"é"']),
    st.sampled_from(['"con_tent"', '"_content"', '"content.x"', '"meta[content]"', '" content"']),
    st.sampled_from(['"__proto__"', '"prototype"', '"conversation_id"', '"content\\t"']),
    literals,
)
_tokens = st.sampled_from(
    [
        json.dumps(a_session(SCOPE).seal(b"hello", Context(SCOPE, "content")).decode()),
        json.dumps(a_session(SCOPE).seal(b"hi", Context(SCOPE, "subject"), form="short").decode()),
        '"eyJ0eXAiOiJzeTEi.."',
        '"sy1."',
    ]
)
_texts = st.sampled_from(['"c1"', '"hello"', '"é\U0001f600"', '"a\\n\\"b\\\\"', '""', '"d"'])
# In a list, such strings are cut out of what is searched for names.
LONG: Final = "long " * 20
_long = st.sampled_from([LONG, f'"content":"{LONG}', f"{LONG}\\", f'{LONG}"{{[', f"{LONG}é"]).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
_scalars = st.sampled_from(["17", "-1.50", "null", "true", "[1]", '{"x":{}}'])
_odd = st.sampled_from(['"content"', '[1, "content"]', '{"content": 1}', '"\\u00e9"']) | scalars
_plain = st.one_of(_texts, _tokens, _texts, _scalars, _long)


@st.composite
def objects(draw: st.DrawFn, nested: st.SearchStrategy[str]) -> str:
    """Return an object with the names of the rules, rarely with others that look like them."""
    values = _plain if draw(st.integers(0, 3)) else _odd
    names = st.permutations(
        ["content", "conversationId", "meta", *draw(st.permutations(NAMES))[:3]]
    )
    members = {json.dumps(name): draw(values) for name in draw(names)}
    members['"meta"'] = draw(nested)
    if draw(st.integers(0, 3)):
        members['"conversationId"'] = draw(_texts)
    if draw(st.booleans()):
        members.pop('"content"')  # it may stand in `meta` alone then
    spelled = [f"{key}{draw(spaces)}:{draw(spaces)}{value}" for key, value in members.items()]
    if not draw(st.integers(0, 5)):
        spelled.append(f"{draw(_odd_keys)}:{draw(values)}")
    return draw(spaces) + "{" + ",".join(spelled) + "}" + draw(spaces)


@st.composite
def arrays(draw: st.DrawFn, elements: st.SearchStrategy[str]) -> str:
    """Return an array of elements."""
    return f"[{draw(spaces)}{','.join(draw(st.lists(elements, max_size=3)))}]"


_rows = st.one_of(
    st.sampled_from(['{"content":"é"}', '{"content":"a","subject":""}', '{"content":null}', "{}"]),
    (_tokens | _long).map('{{"x":1, "content":{}}}'.format),
    _long.map('{{"x":{{"content":{0}}}, "content":{0}}}'.format),
    _long.map('{{"content" :  {0}, "x":["content","x:",{0}]}}'.format),
    objects(_plain),
    _plain,
)
_nested = st.one_of(
    st.sampled_from(['{"room":"r"}', "{}"]),
    objects(_plain),
    arrays(_rows),
    arrays(arrays(_rows)),
    arrays(arrays(_rows).map('{{"meta":{}}}'.format)),
    _plain,
)
_ordinary = objects(_nested)
_endings = st.sampled_from(["", "", "", "x", ",", "{}", "\x00", "é"])
bodies = st.one_of(
    st.tuples(_ordinary, _endings).map("".join).map(str.encode),
    _ordinary.map(str.encode),
    _ordinary.map(str.encode),
    documents().map(str.encode),
    st.binary(max_size=60),
)

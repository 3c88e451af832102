"""Whatever a form of the Finder finds is what the walk finds; it finds nothing where that refuses.

The walk is the reference: it goes member by member, and knows nothing of either form.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251 - hypothesis makes it
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.leaves import FORM
from proxy.core.leaves import finder as python
from proxy.core.leaves.finder import Found, PlainPath
from proxy.core.leaves.plain_names import PlainNames
from proxy.core.policy import MOST_SELECTED
from tests.core.json_texts import RandomTexts, documents, literals
from tools.fuzz.forms import walked

VECTORS: Final = Path(__file__).parents[2] / "vectors"
Form = Callable[[tuple[PlainPath, ...], Callable[[], None]], Any]


def native() -> Form | None:
    """Return the native form where it is there and fits."""
    if FORM == "python":
        return None
    import sealyard_native  # noqa: PLC0415 - it is optional

    return sealyard_native.Finder


NATIVE: Final = native()
FORMS: Final[tuple[Form, ...]] = (python.Finder,) if NATIVE is None else (python.Finder, NATIVE)


def never() -> None:
    """Pause without an effect."""


def agreed(paths: tuple[PlainPath, ...], body: bytes) -> list[Found | None]:
    """Return what each form finds; fail where the walk finds anything else."""
    expected = walked(paths, body)
    found = [form(paths, never).find(body) for form in FORMS]
    for one in found:
        assert one is None or one == expected
    return found


def certain(paths: tuple[PlainPath, ...], body: bytes) -> Found:
    """Return what all forms find."""
    first, *others = agreed(paths, body)
    assert first is not None
    assert all(one == first for one in others)
    return first


def path_of(text: str) -> PlainPath:
    """Return the steps of `a.*.b`."""
    return tuple(None if one == "*" else one for one in text.split("."))


def paths_of(*texts: str) -> tuple[PlainPath, ...]:
    """Return the steps of each path."""
    return tuple(map(path_of, texts))


# --- what must be found ------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "body"),
    [
        ("text", '{"id":"c1","title":"a","text":"b"}'),
        ("text", ' {"text" :\t"b" , "title":1}\n'),
        ("text", '{"text":"\\"quoted\\" \\\\ \\n","n":[]}'),
        ("text", '{"text":"größe 😀 €","größer":"😀"}'.replace("größer", "size")),
        ("text", '{"text":{"text_":[1,2,{}]}}'.replace("text_", "_text")),
        ("text", '{"text":null}'),
        ("text", "{}"),
        ("sender_id id", '{"sender_id":1,"id":2,"_id":3,"-id":4,"sender":5}'),
        ("user-name", '{"user-name":1,"user":{"a":2},"@type":"x","$ref":"y","a.b":1,"x[0]":2}'),
        ("a.b a.c", '{"a":{"b":1,"c":{"d":[[]]}},"b":{"e":0}}'.replace('"b":{', '"x":{')),
        ("a.b", '{"a":{"x":1}}'),
        ("list.*.text", '{"list":[{"text":"a"},{"text":"b","n":1},{"text":null},{"n":2}]}'),
        ("list.*.text list.*.id", '{"list":[{"id":1,"text":"a"},{"id":2,"text":"ä\\n"}]}'),
        ("*.l.*.a", "[" + ",".join(['{"l":[{"a":1}]}'] * 200) + "]"),
        ("list.*.text", '{"list":[]}'),
        ("list.*.text", '{"list":null}'),
        ("*.a.*.b", '[{"a":[{"b":1},{"b":[]}]},{"a":[]},{"a":[{"b":{}}]}]'),
        ("", '{"a":[1,-0,0.5,1e9,1E-2,true,false,null,"\\/",{"b":{}}]}'),
        ("", '"alone"'),
        ("", "[[],{}]"),
        ("", " 1 "),
    ],
)
def test_common_messages_are_certain_in_both_forms(paths: str, body: str) -> None:
    certain(paths_of(*paths.split()), body.encode())


@pytest.mark.skipif(NATIVE is None, reason="only the native form is certain of these")
@pytest.mark.parametrize(
    ("paths", "body"),
    [
        ("text", '{"text":"\\u00e4\\ud83d\\ude00"}'),
        ("text", '{"note":"text","text":"text"}'),
        ("a.b", '{"a":1}'),
        ("a.b", '{"a":[{"b":1}]}'),
        ("list.*.text", '{"list":[1,"a",[],{"text":"b"}]}'),
        ("list.*", '{"list":["a","b",null,{"c":1}]}'),
        ("full name", '{"full name":1}'),
        ("a a.b a.*.c", '{"a":[{"c":1}]}'),
        ("text", '{"big":"' + "x" * 600_000 + '","text":"é"}'),
        ("list.*.text", '{"list":[' + ",".join(['{"text":"é","id":1}'] * 29_999) + "]}"),
    ],
)
def test_the_native_form_is_certain_of_more(paths: str, body: str) -> None:
    assert agreed(paths_of(*paths.split()), body.encode())[1] is not None


def test_what_is_found_is_flat_with_the_index_of_each_star() -> None:
    body = b'{"l":[{"m":[{"t":1},{"t":22}]},{"m":[{"t":null}]}],"a":{"b":"x"}}'

    missing, (texts, names, absent) = certain(paths_of("l.*.m.*.t", "a.b", "a.c"), body)

    assert missing == 0b101
    assert absent == []
    assert [body[names[0] : names[1]]] == [b'"x"']
    assert [texts[at : at + 4][2:] for at in (0, 4)] == [[0, 0], [0, 1]]
    assert [body[texts[at] : texts[at + 1]] for at in (0, 4)] == [b"1", b"22"]
    assert len(texts) == 8


def test_without_paths_any_json_is_found_and_nothing_else() -> None:
    assert certain((), b"[1]") == (0, [])
    assert agreed((), b"[1,]") == [None] * len(FORMS)


# --- laws ----------------------------------------------------------------------------

NAMES: Final = (
    "a", "A", "b", "B", "_a", "-a", "a_", "a-", "_A", "a_b", "a-b", "aB", "AB", "a b", " a", "a ",
    "a.b", "a.x", "[a]", "[a", "a[0]", "a]", ".a", "[.a", "[[a]", "['a']",
    "['a.b']", "['']", "['']']", "['a", "['a'", "[]a", "][a]", "[[a]]", "].a", "]a.x", "[]['a']",
    "[.['a']", "[]", "[].", "a(1)", "a(12i)", "a()", "a(1ii)", "a(1)x", "(1)", "a.b(1)", "a:b",
    "$a", "@a", "", "k", "K", "s", "__proto__", "constructor", "prototype", "proto",
    "_proto_", "0", "x",
)  # fmt: skip
SELECTED: Final = (
    "a", "b", "_a", "a_b", "aB", "A", "k", "x", "a.b", "$a", "prototype", "0", "", "a b", 'a"',
    "\u212a", "é",
)  # fmt: skip
odd_names = st.sampled_from(
    ['"\\u0061"', '"é"', '"\u212a"', '"\uff41"', '"a\\u0000"', '"\\"a"', '"a\\/"', '"\\ud800"']
)
plain_names = st.sampled_from(NAMES).map(json.dumps)
paths = st.lists(
    st.lists(st.sampled_from(SELECTED) | st.none(), min_size=1, max_size=4).map(tuple), max_size=4
).map(tuple)
leaves = st.sampled_from(
    ["null", "1", "-1.5e+3", '"a"', '"\\"a\\""', '"\\u0061"', '"é\\n"', '"[{,"', "true", "{}", "[]"]
)


def texts(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return documents with such names, which may occur twice."""
    return st.recursive(
        leaves | literals,
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda all_: f"[{' ,'.join(all_)}]")
            | st.lists(st.tuples(names, inner), max_size=4).map(
                lambda all_: "{" + ",".join(f"{key} : {value}" for key, value in all_) + "}"
            )
        ),
        max_leaves=12,
    )


@given(texts(plain_names | odd_names | literals) | documents(), paths)
@example('{"a":{"a":1,"A":2},"b":{"A":1}}', paths_of("a.a", "b.A"))
@example('{"b":"\\u0061","\\u0061":1}', paths_of("a"))
@example('[{"a":1,"a":2}]', paths_of("*.a"))
@example('[{"b":"a","a":1}]', paths_of("*.a"))
@example('{"k":1}', paths_of("\u212a"))
@example('{"a":1,"b":2,"x":3,"b":4}', paths_of("a", "b", "x"))
@example('{"a":1,"b":2,"x":3,"x":4}', paths_of("a", "b", "x"))
@example('{"a":"secret","a":null}', paths_of("a"))
@example('{"a":{"b":"secret"},"a":null}', paths_of("a.b"))
@example('{"constructor":{"prototype":{}}}', paths_of("a"))
@settings(max_examples=600)
def test_what_is_found_is_what_the_walk_finds(text: str, chosen: tuple[PlainPath, ...]) -> None:
    agreed(chosen, text.encode())


STRAY: Final = tuple(
    [bytes([one]) for one in b'[]{}",:\\/ue019.-+EtfnN \t\n\r\x00\x1f\x7f\x80\xc3\xff']
    + [b"", b"null", b'"a"', b'"a":1,', b"\\u", b"\\ud83d", b"\\ude00", b"\xed\xa0\x80"]
    + [b"\xef\xbb\xbf", "é".encode(), "😀".encode(), b"01", b"1.", b"NaN", b"-Infinity", b"//"]
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Return a document with some bytes of it replaced, taken out, put in or repeated."""
    body = draw(texts(plain_names)).encode()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 4)))
        again = body[start : start + draw(st.integers(0, 12))]
        body = body[:start] + draw(st.sampled_from((*STRAY, again))) + body[end:]
    return body


@pytest.mark.no_cover
@given(mutants() | st.binary(max_size=40), paths)
@example(b'{"a":"a string that is long enough\x01\x01"}', paths_of("a"))
@settings(max_examples=600)
def test_nothing_is_found_in_what_the_walk_refuses(
    body: bytes, chosen: tuple[PlainPath, ...]
) -> None:
    agreed(chosen, body)


def meets_object(value: object, steps: PlainPath) -> bool:
    """Return whether `*` leads to an object, or a name to one with a name that reaches all."""
    if not steps:
        return False
    if isinstance(value, dict):
        if steps[0] is None or value.keys() & {"__proto__", "constructor", "prototype"}:
            return True
        return meets_object(value.get(steps[0]), steps[1:])
    return (
        isinstance(value, list)
        and steps[0] is None
        and any(meets_object(one, steps[1:]) for one in value)
    )


@pytest.mark.skipif(NATIVE is None, reason="the Python form leaves more to the walk")
@given(texts(plain_names), paths)
@settings(max_examples=600)
def test_the_native_form_leaves_only_odd_names_to_the_walk(
    text: str, chosen: tuple[PlainPath, ...]
) -> None:
    body = text.encode()
    if walked(chosen, body) is None:
        return
    document = json.loads(text)
    doubtful = any(meets_object(document, one) for one in chosen)
    odd = {"\u212a", "é", 'a"'} & {step for one in chosen for step in one}
    assert doubtful or odd or agreed(chosen, body)[1] is not None


@given(
    st.text("aAbB_- .[]$k('1)", min_size=1, max_size=7),
    st.text("aAbB_-.$k", min_size=1, max_size=5).filter(lambda name: name != "."),
)
@settings(max_examples=600)
def test_names_are_told_apart_as_the_readings_tell(name: str, selected: str) -> None:
    body = json.dumps({name: 1, selected: 2}).encode()
    expected = walked(((selected,),), body)
    for one in agreed(((selected,),), body):
        assert one == expected


# --- corpora -----------------------------------------------------------------------------

SUITE: Final = sorted((VECTORS / "json-suite").glob("test_*/*"))
LEADS: Final = (
    (), paths_of("a"), paths_of("*"), paths_of("*.a"), paths_of("a.b", "a"), paths_of("x", "*.*.a")
)  # fmt: skip


@pytest.mark.parametrize("file", SUITE, ids=lambda file: file.name)
def test_the_suite_is_read_as_the_walk_reads_it(file: Path) -> None:
    text = file.read_bytes()
    for body in (text, b'{"a":' + text + b"}", b'[{"a":' + text + b'},{"b":1}]'):
        for chosen in LEADS:
            agreed(chosen, body)


@pytest.mark.parametrize("name", ["corpus", "own"])
def test_bodies_of_the_smuggling_corpora_are_read_as_the_walk_reads_them(name: str) -> None:
    chosen = paths_of("text", "a", "id")
    for line in (VECTORS / "smuggling" / f"{name}.jsonl").read_bytes().splitlines():
        raw = json.loads(line)["raw"].encode("latin-1")
        agreed(chosen, line)
        agreed(chosen, raw.partition(b"\r\n\r\n")[2])


@given(st.randoms(use_true_random=False))
def test_random_texts_are_read_as_the_walk_reads_them(random: Random) -> None:
    values = RandomTexts(random)
    body = f'{{"b":{values.value()},"a":{values.value()}}}'.encode()
    agreed(paths_of("a", "b.a", "x"), body)


# --- limits ------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [126, 127, 128, 129, 130, 260])
@pytest.mark.parametrize("chosen", [(), ("a",), ("*.a",), ("*.*.*.a",), ("a.a.a.a",), ("x",)])
@pytest.mark.parametrize("kind", ["[", '{"a":', '[{"a":'])
def test_so_many_levels_are_read_as_by_the_walk(
    depth: int, chosen: tuple[str, ...], kind: str
) -> None:
    opening = (kind * depth)[: len(kind) * depth // len(kind.replace('"a":', ""))]
    closing = "".join({"[": "]", "{": "}"}[one] for one in reversed(opening) if one in "[{")
    for inner in ("1", "[]", "{}", '"[[["'):
        found = agreed(paths_of(*chosen), (opening + inner + closing).encode())
        if depth < 126:
            assert None not in found[1:]


def test_a_path_may_be_as_deep_as_a_text() -> None:
    body = b"[" * 60 + b'{"a":1}' + b"]" * 60
    deep: PlainPath = (*[None] * 60, "a")
    found = agreed((deep,), body)
    assert NATIVE is None or found[-1] is not None
    agreed(((*[None] * 70, "a"),), b"[" * 70 + b'{"a":1}' + b"]" * 70)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 100])
def test_so_many_paths_are_found_as_by_the_walk(count: int) -> None:
    body = json.dumps({f"n{at}": at for at in range(0, 100, 3)}).encode()
    for one in agreed(tuple((f"n{at}",) for at in range(count)), body):
        assert one is not None or count > 64


@pytest.mark.no_cover
@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize(
    ("chosen", "element"), [(("*.a",), '{"a":1}'), (("*.a", "*.a"), '{"a":null}'), (("*",), "1")]
)
def test_so_many_values_are_selected_as_by_the_walk(
    chosen: tuple[str, ...], element: str, beyond: int
) -> None:
    count = MOST_SELECTED // len(chosen) + beyond
    found = agreed(paths_of(*chosen), f"[{','.join([element] * count)}]".encode())
    assert NATIVE is None or (found[1] is None) == (beyond > 0)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("inner", ["1", '","', '"["', "[{}]"])
def test_so_many_commas_and_brackets_are_read_as_by_the_walk(inner: str, beyond: int) -> None:
    marks = sum(map(inner.count, ",[{"))
    body = f"[{inner}{',1' * (1_000_000 - marks - 1 + beyond)}]".encode()
    found = agreed((), body)
    assert NATIVE is None or (found[1] is None) == (beyond > 0)


def test_a_short_text_may_have_more_marks_than_a_long_one() -> None:
    agreed((), b'"' + b"," * 999_998 + b'"')
    agreed((), b'"' + b"," * 999_999 + b'"')
    agreed((), b'"' + b"," * 1_000_001 + b'"')


EDGES: Final = (16, 16 * 1024, 64 * 1024, 256 * 1024, 512 * 1024)


@pytest.mark.no_cover
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("shift", range(-7, 5))
@pytest.mark.parametrize(
    "part", ["é", "😀", "\\n", "\\ud83d\\ude00", "\\ud83d", "\\\\", "\x1f", "\x7f"]
)
def test_strings_are_read_as_by_the_walk_wherever_a_piece_ends(
    edge: int, shift: int, part: str
) -> None:
    for filler in ("x", "é"):
        text = f'{{"b":"{filler * ((edge + shift) // len(filler.encode()))}{part}x","a":"{part}"}}'
        body = text.encode()
        found = agreed(paths_of("a"), body)
        assert NATIVE is None or part in {"\\ud83d", "\x1f"} or found[1] is not None
        for wrong in (body[:-2], body[: edge + shift], body.replace(b"x", b"\xff", 1)):
            assert agreed(paths_of("a"), wrong) == [None] * len(FORMS)


@pytest.mark.no_cover
@pytest.mark.parametrize("edge", EDGES[1:])
@pytest.mark.parametrize("size", [-9, -1, 0, 1])
def test_lists_of_any_size_are_found_as_by_the_walk(edge: int, size: int) -> None:
    element = '{"id":1,"text":"é\\n","more":{"tags":["a"]}}'
    count, rest = divmod(edge + size - 12, len(element.encode()) + 1)
    body = f'{{"list":[{",".join([element] * count)}]{" " * rest} }}'.encode()
    agreed(paths_of("list.*.text"), body)


# --- pauses ------------------------------------------------------------------------------


class Stopped(BaseException):
    """What a pause may raise."""


def stop() -> None:
    """End the work."""
    raise Stopped


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "body",
    [
        f'{{"list":[{",".join(["{}"] * 100_000)}]}}',
        f'{{"list":[{",".join(["[[1]]"] * 60_000)}]}}',
        f'{{"list":["{"x" * 600_000}"]}}',
        f'{{"list":[],{",".join([chr(34) + "b" + chr(34) + ":1"] * 100_000)}}}',
        f'{{"list":"{"é" * 600_000}"}}',
        f'{{"list":"{chr(92) * 600_000}"}}',
    ],
)
def test_long_work_pauses_and_what_a_pause_raises_ends_it(form: Form, body: str) -> None:
    paused = 0

    def pause() -> None:
        nonlocal paused
        paused += 1

    found = form(paths_of("list.*.a"), pause).find(body.encode())
    if found is None:
        assert form is python.Finder  # it leaves long texts to the walk
        return
    # In each of two passes: over the encoding, and over the values.
    pieces = len(body.encode()) // (256 * 1024)
    assert 2 * pieces - 1 <= paused <= 2 * pieces + 1
    with pytest.raises(Stopped):
        form(paths_of("list.*.a"), stop).find(body.encode())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("body", [None, "{}", 1, [b"{}"]])
def test_only_bytes_are_read(form: Form, body: object) -> None:
    with pytest.raises((TypeError, AttributeError)):
        form((), never).find(body)


FILL: Final = "x" * 100
PIECE: Final = 64 * 1024


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f'{{"a":"text","text":"{FILL}"}}', False),
        (f'{{"b":["text"],"text":"{FILL}"}}', False),
        (f'{{"text" : "{FILL}","b":1}}', True),
        (f'{{"text":"{FILL}\\"{FILL}","b":1}}', True),
        (f'{{"text":"{FILL}","b":"text"}}', False),
        (f'{{"text":"{FILL}","b":{{"text":1}}}}', False),
        (f'{{"b":"{FILL * 3000}","text":"{FILL * 3000}"}}', True),
        (f'{{"b":[{"1," * 9000}2],"text":"a"}}', False),
        (f'{{"b":"{FILL * 21_000}","text":"a"}}', False),
    ],
    ids=map(str, range(9)),
)
def test_the_python_form_is_certain_of_large_fields(body: str, found: bool) -> None:  # noqa: FBT001 - which of two
    ours, *_ = agreed(paths_of("text"), body.encode())
    assert (ours is not None) == found


def test_long_strings_in_lists_are_found_beside_escapes() -> None:
    rows = [f'{{"text":"{one}","b":"\\n"}}' for one in (FILL, "a", f'{FILL}\\"{FILL}', FILL)]
    body = f'{{"list":[{",".join(rows)}]}}'.encode()
    _, (flat,) = certain(paths_of("list.*.text"), body)
    assert [body[start:end] for start, end in zip(flat[::3], flat[1::3], strict=True)] == [
        f'"{one}"'.encode() for one in (FILL, "a", f'{FILL}\\"{FILL}', FILL)
    ]


@pytest.mark.parametrize("size", [0, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7])
@pytest.mark.parametrize("tail", ['"', "", "\\", '\\""', '\\u0041"', '\x01"', "\x01", '\x7f"', "é"])
def test_strings_of_any_size_are_read_piece_by_piece(size: int, tail: str) -> None:
    large = " " * (1024 * 1024)
    text = f'{{"a":"{"x" * size}{tail}}}{large}'
    try:
        json.loads(text)
        valid = True
    except ValueError:
        valid = False
    agreed(paths_of("a"), text.encode())
    assert (walked(paths_of("a"), text.encode()) is not None) == valid


def test_names_are_remembered_up_to_a_length() -> None:
    plain = PlainNames(["text"])
    for length in (10, 5_000, 100_000):
        for number in range(128):
            assert plain.suit({f"{number}".ljust(length, "x"): 1, "text": 2})
            assert not plain.suit({f"{number}".ljust(length, "x"): 1, "Text": 2})

    remembered = sum(len(name) for names in plain._told for name in names)
    assert 0 < remembered <= 128 * 4096

"""Bodies that are read as more than one format, under more than one type, charset or coding."""

from __future__ import annotations

import json
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
import re
from collections.abc import Callable, Mapping
from typing import Final

from ..case import CHUNKS, CODINGS, MINE
from ..draft import BOUNDARY, TYPES, Draft, Part, bracketed, disposition

_TYPES: Final = (
    *TYPES.values(),
    *("application/vnd.api+json", "text/json", "application/x-json", "application/json-patch+json"),
    *("application/merge-patch+json", "application/ld+json", "application/jsonrequest"),
    *(
        "application/problem+json",
        "application/json-seq",
        "application/jsonl",
        "application/csp-report",
    ),
    *("application/octet-stream", "text/html", "application/xml", "text/xml", "*/*", "json", ""),
    *("application/json, text/plain", "text/plain, application/json", "application/json;"),
    *(
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/json;charset=x",
    ),
    *("application/json; charset=latin1", 'application/json; charset="utf-8"', "APPLICATION/JSON"),
    *("application/json; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"),
    *("application/x-www-form-urlencoded; charset=iso-8859-1", "APPLICATION/X-WWW-FORM-URLENCODED"),
    *(
        "application/x-www-form-urlencoded ; x=y",
        "application/x-www-form-urlencoded, application/json",
    ),
    *(
        "text/event-stream; charset=utf-8",
        "text/event-stream;x=application/json",
        "multipart/mixed",
    ),
    *(f"multipart/form-data; boundary={BOUNDARY}; charset=utf-7", "multipart/form-data"),
    *(f'multipart/form-data; boundary="{BOUNDARY}"', f"multipart/related; boundary={BOUNDARY}"),
    *(
        f"multipart/form-data; boundary=x; boundary={BOUNDARY}",
        f"MULTIPART/FORM-DATA; BOUNDARY={BOUNDARY}",
    ),
    *("application/graphql", "application/x-protobuf", "application/cbor", "application/msgpack"),
    *(
        "application/javascript",
        "text/javascript",
        "application/json5",
        "application/vnd.x+json-seq",
    ),
)


def _type(draft: Draft, rng: random.Random) -> bool:
    """Another type, none, or two of them."""
    what = rng.random()
    if what < 0.1:
        draft.set_header("Content-Type", None)
    elif what < 0.2:
        pair = (rng.choice(("Content-Type", "content-type")), rng.choice(_TYPES))
        draft.headers.insert(rng.randrange(1, len(draft.headers) + 1), pair)
    else:
        draft.set_header("Content-Type", rng.choice(_TYPES))
    return True


def _events(draft: Draft, rng: random.Random) -> bool:
    """The type of an event stream, with events around what is none."""
    draft.set_header("Content-Type", "text/event-stream")
    before = rng.choice(
        (
            "",
            "\n",
            ": x\n",
            "data: {}\n\n",
            'data: {"a":1}\n\n',
            "event: x\n\n",
            "retry: 1\n\n",
            "data\n\n",
        )
    )
    behind = rng.choice(("", "\n\n", "\n\ndata: {}\n\n", "\ndata: x\n\n"))
    comment = rng.random() < 0.3
    decoy = "{" + ",".join(f'"{name}":"decoy"' for name in draft.route.fields) + "}"

    def frame(text: str) -> str:
        if comment and text.startswith("{"):
            return "{/*\ndata: " + decoy + "\n\n*/" + text[1:]
        return before + text + behind

    draft.frames.append(frame)
    return True


def _decoys(draft: Draft, joint: str) -> str:
    return joint.join(f"{bracketed(name)}=decoy" for name in draft.route.fields)


def _json_in_form(draft: Draft, rng: random.Random) -> bool:
    """A form that reads as JSON too, or JSON that reads as a form too."""
    if draft.kind not in {"json", "form"}:
        return False
    pairs = _decoys(draft, "&") if rng.random() < 0.7 else _pairs(draft)
    if rng.random() < 0.5 or draft.kind == "form":
        draft.set_header("Content-Type", TYPES["form"])
    inside = json.dumps(f"&{pairs}&")
    members = [(json.dumps(name), json.dumps(draft.value)) for name in draft.route.fields]
    text = "{" + ",".join(f"{name}:{value}" for name, value in members)
    whole = rng.choice(
        (
            f'{{"a":{inside},' + text[1:] + "}",
            text + f',"a":{inside}}}',
            text + "}" + f"&{pairs}",
            f"{pairs}&" + text + "}",
            "[" + text + f',"a":{inside}}}]',
            "\ufeff".encode().decode("latin-1") + f'{{"a":{inside},' + text[1:] + "}",
            f' \t\n{{"a":{inside},' + text[1:] + "}",
            f"/*&{pairs}&*/" + text + "}",
            f"//&{pairs}&\n" + text + "}",
            f"#&{pairs}&\n" + text + "}",
        )
    )
    draft.frames.append(lambda _: whole)
    return True


def _pairs(draft: Draft) -> str:
    return "&".join(f"{bracketed(name)}={draft.value}" for name in draft.route.fields)


def _other_kind(draft: Draft, rng: random.Random) -> bool:
    """The same names in a body of another format, with its type or with the old one."""
    names = [*draft.route.fields, draft.route.conversation or "x", draft.route.when or "y"]
    values = dict.fromkeys(names, draft.value)
    values |= {draft.route.conversation or "x": MINE, draft.route.when or "y": "secret"}
    kind = rng.choice(
        [one for one in ("json", "form", "parts", "records", "events") if one != draft.kind]
    )
    old = draft.kind
    draft.kind = kind  # type: ignore[assignment] # one of the kinds
    if rng.random() < 0.6:
        draft.set_header("Content-Type", TYPES[kind])
    if kind == "parts":
        draft.parts = [Part([disposition(name)], text) for name, text in values.items()]
    elif kind == "form":
        draft.members = list(values.items())
    elif old not in {"json", "records", "events"}:
        draft.members = [(json.dumps(name), json.dumps(text)) for name, text in values.items()]
    return True


def _around(draft: Draft, rng: random.Random) -> bool:
    """Something before, behind or around the body that some parsers do not mind."""
    byte_order = "\u00ef\u00bb\u00bf"
    before = rng.choice(
        ("", byte_order, " ", "\n", "\x0c", ")]}',\n", "//x\n", "/*x*/", "# x\n", "\x1e", "\0")
    )
    second = json.dumps(dict.fromkeys(draft.route.fields, draft.value))
    behind = rng.choice(
        (
            *(
                "",
                "\0",
                "x",
                ",",
                "]",
                "}",
                " ",
                "\n",
                "\n" + second,
                second,
                "//x",
                "/*x*/",
                "\x1a",
            ),
            *("\r\n\r\n", "&" + _pairs(draft), ";" + _pairs(draft), "\n&" + _pairs(draft)),
        )
    )
    outside = rng.choice(("{}", "{}", "{}", "[{}]", '{"data":{}}', "({})", "x={}", "json={}"))
    draft.frames.append(lambda text: before + outside.replace("{}", text) + behind)
    return True


def _lenient(draft: Draft, rng: random.Random) -> bool:
    """JSON as lenient parsers read it: comments, bare names, other quotes, commas."""
    if draft.kind != "json":
        return False
    twin = "".join(f'"{name}":"{draft.value}",' for name in draft.route.fields)
    ways: tuple[Callable[[str], str], ...] = (
        lambda text: text.replace("{", "{/*x*/", 1),
        lambda text: text.replace("{", "{//x\n", 1),
        lambda text: text.replace("{", "{#x\n", 1),
        lambda text: text.replace("{", "{/*" + twin + "*/", 1),
        lambda text: text.replace("{", "{//" + twin + "\n", 1),
        lambda text: re.sub(r'"(\w+)":', r"\1:", text),
        lambda text: re.sub(r'"(\w+)":', r"'\1':", text),
        lambda text: text.replace('"', "'"),
        lambda text: text[:-1] + ",}",
        lambda text: text.replace(",", ",,", 1),
        lambda text: text.replace(":", "=", 1),
        lambda text: text.replace(":", " \x0b:", 1),
        lambda text: text.replace('"', '\\"', 2),
        lambda text: text.replace("{", '{"n":NaN,', 1),
        lambda text: text.replace("{", '{"n":0x1,', 1),
        lambda text: text.replace("{", '{"n":"\t",', 1),
        lambda text: text.replace("{", '{"n":"\\ud800",', 1),
        lambda text: text.replace("{", '{"n":"\xff",', 1),
        lambda text: text.replace("{", '{"\\u0000":1,', 1),
        lambda text: text.replace("{", '{"n":' + "[" * 70 + "]" * 70 + ",", 1),
        lambda text: text[:-1],
    )
    draft.frames.append(rng.choice(ways))
    return True


def _coded(draft: Draft, rng: random.Random) -> bool:
    """Another coding or charset, told or not."""
    draft.codings = [one for one in draft.codings if one not in CHUNKS]
    coding = rng.choice([one for one in CODINGS if one not in CHUNKS])
    draft.codings += [coding] * rng.choice((1, 1, 1, 2))
    if rng.random() < 0.4 and coding.startswith("utf"):
        draft.set_header("Content-Type", f"{TYPES[draft.kind]}; charset={coding}")
    if rng.random() < 0.15:
        told = rng.choice(
            ("gzip", "identity", "br", "x-gzip", "GZIP", "none", "gzip;q=1", "deflate", "compress")
        )
        draft.headers.append(("Content-Encoding", told))
    return True


def _more_records(draft: Draft, rng: random.Random) -> bool:
    """A record more, which has its ruled names otherwise."""
    if draft.kind not in {"records", "events"}:
        return False
    values = dict.fromkeys(draft.route.fields, draft.value)
    values |= {draft.route.conversation: MINE} if draft.route.conversation else {}
    draft.records.append([(json.dumps(name), json.dumps(text)) for name, text in values.items()])
    joint = rng.choice(("\r\n", "\r", "\n\n", "\n \n", "\u0085", "\x0b", "\x1e", " "))
    if rng.random() < 0.5:
        draft.frames.append(lambda text: text.replace("\n", joint))
    return True


WRAPPER: Final = "wrapper"
"""The mutator that leaves what only an author can know: it is for closed rules."""


def _wrapped(draft: Draft, rng: random.Random) -> bool:
    """All members once more in an object, as wrap_parameters of Rails and many others take them."""
    if draft.kind != "json" or not draft.members:
        return False
    inner = ",".join(f"{name}:{value}" for name, value in draft.members)
    wrapper = json.dumps(rng.choice(("report", "report", "data", "message", "params")))
    draft.members.insert(rng.randrange(len(draft.members) + 1), (wrapper, f"{{{inner}}}"))
    return True


MUTATORS: Final[Mapping[str, Callable[[Draft, random.Random], bool]]] = {
    WRAPPER: _wrapped,
    "type": _type,
    "events": _events,
    "JSON in form": _json_in_form,
    "other kind": _other_kind,
    "around": _around,
    "lenient JSON": _lenient,
    "coded": _coded,
    "more records": _more_records,
}

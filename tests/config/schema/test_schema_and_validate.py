"""What the JSON Schema refuses, `validate` refuses; what only `validate` refuses is on a list.

Documents are drawn from the declarations: in one that has each section, the value of one key is
replaced by one of its kind, or by one that nearly is.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.declared.addresses import SecretSource
from proxy.config.declared.composed import (
    ByName,
    ByShape,
    ListOf,
    Named,
    OneOrMore,
    WithPlace,
    Words,
)
from proxy.config.declared.kinds import (
    BYTES,
    MILLISECONDS,
    Choice,
    Duration,
    Kind,
    PlainText,
    Portion,
    Size,
    Switch,
    Version,
    WholeNumber,
)
from proxy.config.declared.section import LazySection, Section
from proxy.config.schema.json_schema import schema
from proxy.config.sections.document import FILE
from tests.config.builders import problems_of

VALIDATOR: Final = jsonschema.Draft202012Validator(schema())

KNOWN_TO_VALIDATE_ALONE: Final = {
    # The small languages, of which each has its own parser.
    r"`.*` is not a (selector|source|method)": "a word of a small language",
    r"a match must be|methods are in upper case|never forwarded|an empty segment": "a pattern",
    r"a segment is a literal|a literal segment|canonical form|more than one way": "a pattern",
    r"the same name twice|cannot be combined with other methods": "a pattern",
    r"lacks a (valid )?name after the colon|write a name with other|reads more than": "a selector",
    r"only JSON in a form has names|has no member name for its field": "a selector",
    r"contains a control character or half of a surrogate pair": "a selector",
    # In a text, what is not regular, or would be a regular expression that nobody reads.
    r"is not an IPv6 address|is not a network|is not a time|is not a calendar day": "numbers in it",
    r"port 0 is not|a node has no database number": "numbers in it",
    r"is not encrypted": "which hosts are this machine",
    r"`\d+e-\d+` is not a share": "a number with an exponent",
    r"begins like a token|has blanks around it|is JSON, so": "what a sentinel may be",
    r"is at no host of Azure's|which only an ARN has|is not the region of the key": "what it names",
    # Between keys.
    r"only applies (to|with|if)|a request has no status": "what another key gives a meaning",
    r"is listed twice|is given twice|is already used|is taken": "other elements",
    r"is less than `ttl`|is more than `of`|for any token|never fits into": "two numbers",
    r"cannot be renewed by `shares`|needs `tls` with `client_ca`": "two keys",
    r"`proxy_protocol` needs|`original-port` needs": "two keys",
    # What a rule does as a whole.
    r"a block needs `encrypt`|`observe` applies to whole rules": "a block among others, or alone",
    r"is bound to nothing|binds `.*`, which the rule|a bind without `field`": "binds and names",
    r"is chosen by the client": "binds and names",
    r"joins values|ignores a value": "a batch and its block",
    r"overlaps|no selector of the block reads|needs objects at known paths": "selectors of a block",
    r"cannot be (`optional`|absent|read from|rejected)": "selectors of a block",
    r"is for .*, `.*` for|write one block for each kind": "selectors of a block",
    r"everything that rule|is read by servers on the way": "items of a block",
    r"cannot have (an expiry|a field|`form`|`optional`)|keep the media type": "items of a block",
}
"""What is told of documents that the schema accepts, and what only `validate` looks at there."""

ENTIRE: Final[dict[str, Any]] = {
    "version": 1,
    "keys": {
        "keyring": {
            "file": "keyring.jwe",
            "id": "AAAAAAAAAAAAAAAAAAAAAA",
            "lease": "1h",
            "roots": [
                {"aws-kms": {"key": "alias/a", "region": "eu-central-1", "ca": "ca.pem"}},
                {"passphrase": {"env": "P"}},
                {"key": {"file": "root.key"}},
                {
                    "vault": {
                        "address": "https://vault:8200",
                        "key": "k",
                        "kubernetes": {"role": "r"},
                    }
                },
                {
                    "vault": {
                        "address": "https://vault:8200",
                        "key": "l",
                        "cert": {"cert": "c", "key": "k"},
                    }
                },
                {
                    "vault": {
                        "address": "https://vault:8200",
                        "key": "m",
                        "approle": {"role_id": "r", "secret_id": {"file": "s"}},
                    }
                },
                {
                    "gcp-kms": {
                        "key": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
                        "federation": {
                            "audience": "//iam.googleapis.com/projects/1/locations/global/x",
                            "token": "t",
                        },
                    }
                },
                {"azure-kv": {"vault": "https://n.vault.azure.net", "key": "k"}},
                {
                    "pkcs11": {
                        "module": "m.so",
                        "token": "t",
                        "serial": "1",
                        "key": "k",
                        "pin": {"file": "pin"},
                    }
                },
                {"shares": {"needed": 2, "of": 3, "socket": "s"}},
            ],
        },
        "store": {
            "url": "rediss://h:6379/0",
            "user": "u",
            "password": {"env": "R"},
            "ca": "ca.pem",
            "cert": "c.pem",
            "key": "c.key",
        },
        "sessions": {"ttl": "1h"},
        "identities": [{"participant": "a", "passphrase": {"file": "p"}}],
        "pins": {"mode": "off", "participants": [{"participant": "a", "keys": ["A" * 43]}]},
        "verify_reports": ["r.json"],
    },
    "admin": {
        "listen": "127.0.0.1:9901",
        "token": {"file": "t"},
        "tokens": [{"name": "a", "token": {"env": "T"}, "scopes": ["read"]}],
        "tls": {"cert": "c", "key": "k", "client_ca": "ca"},
        "clients": [{"name": "b", "dns": "ops", "scopes": ["keys"]}],
        "kubernetes": {"audience": "a", "accounts": [{"account": "n/a", "scopes": ["read"]}]},
    },
    "health": {"listen": "127.0.0.1:9902"},
    "audit": {"file": "audit.log"},
    "fields": {"content": {"form": "jwe"}},
    "listeners": [
        {
            "name": "api",
            "listen": "127.0.0.1:8080",
            "upstream": "https://127.0.0.1:3000",
            "unmatched": "reject",
            "tls": {"cert": "c", "key": "k"},
            "upstream_tls": {"cert": "c", "key": "k"},
            "limits": {"body": "1MiB"},
            "timeouts": {"head": "10s"},
            "trusted_proxies": ["10.0.0.0/8"],
            "client_names": [{"name": "ios", "user_agent": "clinic-ios"}],
            "defaults": {
                "tenant": "const:t",
                "conversation": {"members": ["path:id", "const:a"]},
                "log": {"sample": 0.5},
            },
            "rules": [
                {
                    "name": "send",
                    "match": "POST /a/{id}",
                    "request": {
                        "encrypt": [{"select": "$.content", "max_chars": 4000}, "$.note"],
                        "when": {"$.kind": ["a", 1]},
                        "only": ["kind"],
                    },
                    "response": [
                        {"decrypt": "$.content", "status": [200, "4xx"], "type": "application/json"}
                    ],
                },
                {
                    "name": "events",
                    "match": ["GET /events/{id}"],
                    "response": {"encrypt": "$.delta", "batch": {"for": "1s"}, "sentinels": ["x"]},
                },
            ],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Site:
    """A key of a section in the document: the path of its mapping, and how its value is read."""

    path: tuple[str | int, ...]
    name: str
    kind: Kind


def _sites(kind: Kind, value: object, path: tuple[str | int, ...]) -> Iterator[Site]:
    """Yield the keys of all sections that the document has, whether it gives them or not."""
    if isinstance(kind, Section) and isinstance(value, Mapping):
        for key in kind.keys:
            yield Site(path, key.name, key.kind)
            if key.name in value:
                yield from _sites(key.kind, value[key.name], (*path, key.name))
    elif isinstance(kind, ListOf | OneOrMore) and isinstance(value, list):
        for at, one in enumerate(value):
            yield from _sites(kind.each, one, (*path, at))
    elif isinstance(kind, ByName) and isinstance(value, Mapping):
        for name, one in value.items():
            yield from _sites(kind.each, one, (*path, name))
    else:
        inner = _inner(kind, value)
        if inner is not None:
            yield from _sites(inner, value, path)


def _inner(kind: Kind, value: object) -> Kind | None:
    """Return the kind that reads the same node for another."""
    like: Kind | None = getattr(kind, "like", None)
    match kind:
        case LazySection():
            like = kind.section
        case OneOrMore():
            like = kind.each
        case WithPlace():
            like = kind.of
        case Named():
            like = kind.of()
        case ByShape():
            like = kind.mapping if isinstance(value, Mapping) else kind.sequence
    return like


SITES: Final = tuple(_sites(FILE, ENTIRE, ()))
_WRONG: Final[Sequence[Any]] = (
    None, True, 0, 1, -1, 1.5, "", " ", "x", "no", "0", "1s", "1B", [], {}, ["x"], [[]], {"x": 1},
)  # fmt: skip
_TEXTS: Final = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def _measures(units: Mapping[str, int], *bounds: float) -> st.SearchStrategy[Any]:
    """Return texts of amounts around bounds, in all units."""

    def written(unit: str, bound: float, off: int) -> str:
        return f"{max(int(bound / units[unit]) + off, 0)}{unit}"

    near = st.builds(
        written, st.sampled_from([*units]), st.sampled_from(bounds), st.integers(-2, 2)
    )
    return near | st.sampled_from([*units]).map("0.5{}".format) | st.just("0" * 13 + "1s")


def _near(kind: Kind) -> st.SearchStrategy[Any]:
    """Return values of a kind, and some that nearly are."""
    made = _NEAR.get(type(kind))
    if made is not None:
        return made(kind)
    form = kind.form if isinstance(kind, PlainText) else None
    pattern = form.pattern if form is not None else getattr(kind, "pattern", None)
    if pattern is None:
        return _TEXTS
    plain = re.sub(r"\(\?P<\w+>", "(?:", pattern)
    printed = st.from_regex(f"^(?:{plain})$", fullmatch=True).filter(str.isprintable)
    return printed | printed.map(lambda text: f"{text}!") | _TEXTS


def _near_number(kind: WholeNumber) -> st.SearchStrategy[Any]:
    return st.sampled_from([kind.low, kind.high, kind.low - 1, kind.high + 1, kind.low + 1])


def _near_choice(kind: Choice) -> st.SearchStrategy[Any]:
    words = [*kind.values]
    return st.sampled_from([*words, *(word.upper() for word in words), words[0][:-1]])


def _near_list(kind: ListOf | OneOrMore) -> st.SearchStrategy[Any]:
    return st.lists(_near(kind.each), max_size=3) | _near(kind.each)


def _near_shapes(kind: ByShape) -> st.SearchStrategy[Any]:
    shapes = (kind.scalar, kind.sequence, kind.mapping)
    return st.one_of(*(_near(one) for one in shapes if one is not None))


_SECRETS: Final[Sequence[Any]] = (
    {"env": "X"},
    {"file": "x"},
    {"env": "X", "file": "x"},
    {"env": "1"},
    {},
    "s",
)
_NEAR: Final[dict[type, Callable[[Any], st.SearchStrategy[Any]]]] = {
    Duration: lambda kind: _measures(MILLISECONDS, kind.high * 1000, kind.low * 1000),
    Size: lambda _: _measures(BYTES, 1, 1 << 30),
    WholeNumber: _near_number,
    Version: lambda _: st.integers(0, 3),
    Portion: lambda _: st.sampled_from([0, 1, 0.5, 1.5, 0.000001, "0.5", 2]),
    Switch: lambda _: st.sampled_from([True, False, "true", "yes", 1]),
    Choice: _near_choice,
    SecretSource: lambda _: st.sampled_from(_SECRETS),
    Words: lambda kind: st.sampled_from([*kind.values]) | _near(kind.other),
    ListOf: _near_list,
    OneOrMore: _near_list,
    ByShape: _near_shapes,
    WithPlace: lambda kind: _near(kind.of),
    ByName: lambda kind: st.dictionaries(_TEXTS, _near(kind.each), max_size=2),
}


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    site = draw(st.sampled_from(SITES))
    document = copy.deepcopy(ENTIRE)
    around: Any = document
    for step in site.path:
        around = around[step]
    change = draw(st.sampled_from(["kind", "kind", "kind", "wrong", "gone", "unknown"]))
    if change == "gone":
        around.pop(site.name, None)
    elif change == "unknown":
        around[f"{site.name}x"] = around.get(site.name, "x")
    else:
        around[site.name] = draw(_near(site.kind) if change == "kind" else st.sampled_from(_WRONG))
    return document


def _only_validate_knows(problem: str) -> bool:
    message = re.sub(r"^\d+:\d+ ([\w.\[\]$*-]+ )?", "", problem)
    return any(re.search(told, message) for told in KNOWN_TO_VALIDATE_ALONE)


def test_the_entire_document_is_valid_to_both() -> None:
    assert [one.message for one in VALIDATOR.iter_errors(ENTIRE)] == []
    assert problems_of(json.dumps(ENTIRE)) == []


def test_every_section_is_in_the_document() -> None:
    reached = {one.name for one in SITES}

    assert {"federation", "sentinels", "batch", "bind", "client_names", "of", "grace"} <= reached


@given(_documents())
@example({**ENTIRE, "health": {"listen": "127.0.0.1:9902", "stalled_after": "2h"}})
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_the_schema_and_validate_agree(document: dict[str, Any]) -> None:
    complaints = [one.message for one in VALIDATOR.iter_errors(document)]
    problems = problems_of(json.dumps(document))

    if complaints:
        assert problems, complaints
    else:
        assert [one for one in problems if not _only_validate_knows(one)] == []


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("sessions", "ttl", "25h"),
        ("sessions", "ttl", "0s"),
        ("sessions", "revocation_max_age", "0.999s"),
        ("keyring", "lease", "1441m"),
        ("keyring", "id", "short"),
    ],
)
def test_bounds_are_in_the_schema(section: str, key: str, value: str) -> None:
    document = copy.deepcopy(ENTIRE)
    document["keys"][section][key] = value

    assert not VALIDATOR.is_valid(document)
    assert problems_of(json.dumps(document))

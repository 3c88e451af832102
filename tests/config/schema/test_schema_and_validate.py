"""What the JSON Schema refuses, `validate` refuses; what only `validate` refuses is on a list.

Documents are drawn from the declarations: in one that has each section, the value of one key is
replaced by one of its kind, or by one that nearly is.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings

from proxy.config.schema.json_schema import schema
from proxy.config.sections.document import FILE
from tests.config.builders import problems_of
from tests.config.documents import documents, sites

VALIDATOR: Final = jsonschema.Draft202012Validator(schema())

KNOWN_TO_VALIDATE_ALONE: Final = {
    # The small languages, of which each has its own parser.
    r"`.*` is not a (selector|source|method)": "a word of a small language",
    r"a match must be|methods are in upper case|never forwarded|an empty segment": "a pattern",
    r"does not begin with `/`|lacks a path|written before the path|no white space": "a pattern",
    r"a match has no scheme|by commas alone|has no method beside": "a pattern",
    r"a segment is a literal|a literal segment|canonical form|more than one way": "a pattern",
    r"the same name twice|cannot be combined with other methods": "a pattern",
    r"lacks a (valid )?name after the colon|write a name with other|reads more than": "a selector",
    r"does not say what to ask|is no name of the request's|has a brace|text with one": "a source",
    r"may be more than one place|does not say where records are": "where records are",
    r"gives a name only where it is JSON|has no member name for its field": "a selector",
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
    r"needs `callers`|need each other|`xfcc` needs|each need `tenants`": "two keys",
    r"does not go with loopback": "two keys",
    r"is a client without credentials|no caller of the listener": "callers",
    r"tells no callers apart|the listener has no caller|no mask has the name": "callers",
    r"no purpose of use is known|the purpose of use from another": "callers",
    r"only apply to `decrypt` in a response|of a block, `for` only|has no mask": "callers",
    r"`proxy_protocol` needs|`original-port` needs": "two keys",
    # What a rule does as a whole.
    r"a block needs `encrypt`|`observe` applies to whole rules": "a block among others, or alone",
    r"lacks `select`|accepts nothing here|by the answer alone|no one element": "binds and names",
    r"is no place in a record|does not apply with": "records",
    r"is bound to nothing|binds `.*`, which the rule|a bind without `field`": "binds and names",
    r"is chosen by the client": "binds and names",
    r"joins values|ignores a value": "a batch and its block",
    r"overlaps|no selector of the block reads": "selectors of a block",
    r"stands for (no place|any number)|is listed for nothing|has no places": "plain places",
    r"cannot be (read from|rejected)": "selectors of a block",
    r"may always be missing|is no plain place|no rule opens that": "plain places",
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
    "masks": {"pan": {"keep": {"last": 4}}, "mail": "email"},
    "purposes_of_use": ["treatment"],
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
                        "plain": "$.{kind,id}",
                        "others": "refuse",
                        "query": {"page": "plain"},
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


SITES: Final = tuple(sites(FILE, ENTIRE))


def _only_validate_knows(problem: str) -> bool:
    message = re.sub(r"^\d+:\d+ ([\w.\[\]$*-]+ )?", "", problem)
    return any(re.search(told, message) for told in KNOWN_TO_VALIDATE_ALONE)


def test_the_entire_document_is_valid_to_both() -> None:
    assert [one.message for one in VALIDATOR.iter_errors(ENTIRE)] == []
    assert problems_of(json.dumps(ENTIRE)) == []


def test_every_section_is_in_the_document() -> None:
    reached = {one.name for one in SITES}

    assert {"federation", "sentinels", "batch", "bind", "client_names", "of", "grace"} <= reached


@given(documents(FILE, ENTIRE))
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

"""Who is taken to send a message: `explain --caller`, `caller` in cases, what is played."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from proxy.config.load import parse
from proxy.core.crypto.context import Context, Scope
from proxy.explaining.plays import played
from tests.cli.conftest import invoke
from tests.factories import a_session

CANARY = "CANARY-callers"
CONFIGURATION = """\
version: 1
keys: {keyring: {file: keyring.jwe, key: {file: root.key}}}
masks: {last: {keep: {last: 2}}}
purposes_of_use: [treatment]
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: reject
    callers:
      - {name: doctor, jwt: {issuer: i, audience: a, jwks: {file: j}, algorithms: [ES256],
                      claims: {r: d}}}
      - {name: billing, jwt: {issuer: i, audience: a, jwks: {file: j}, algorithms: [ES256],
                      claims: {r: b}}}
      - {name: clerk, jwt: {issuer: i, audience: a, jwks: {file: j}, algorithms: [ES256],
                      claims: {r: c}}}
    defaults: {others: pass, tenant: caller:org, bind: [tenant, field]}
    rules:
      - name: read
        match: GET /notes
        response:
          decrypt:
            - select: $.*.content
              for: {doctor: value, billing: absent, clerk: {mask: last}}
              purpose_of_use: header:x-purpose-of-use
      - name: write
        match: [POST /notes, PUT /notes]
        request: {encrypt: $.content, for: [doctor, clerk]}
"""
CASES = """\
config: sealyard.yaml
cases:
  - name: a doctor reads
    request: GET /notes
    headers: {X-Purpose-Of-Use: treatment}
    caller: {name: doctor, claims: {org: clinic}}
    response: {body: [{content: <sealed>, n: 1}]}
    expect: {rule: read, response: {"$.*.content": opened}, client: [{content: <opened>, n: 1}]}
  - name: a clerk reads a mask
    request: GET /notes
    headers: {X-Purpose-Of-Use: treatment}
    caller: {name: clerk, claims: {org: clinic}}
    response: {body: [{content: <sealed>, n: 1}]}
    expect: {response: {"$.*.content": masked}}
  - name: billing reads the rest
    request: GET /notes
    caller: {name: billing, claims: {org: clinic}}
    response: {body: [{content: <sealed>, n: 1}]}
    expect: {response: {"$.*.content": absent}}
  - {name: a doctor says what for, request: GET /notes, caller: doctor,
     expect: {refused: purpose-of-use-missing}}
  - {name: a stranger, request: GET /notes, expect: {refused: caller-may-not-open}}
  - {name: billing does not write, request: POST /notes, body: {content: x}, caller: billing,
     expect: {refused: caller-may-not-seal}}
  - {name: a clerk does not replace, request: PUT /notes, body: {content: x}, caller: clerk,
     expect: {refused: masked-value}}
"""


SCOPE = Scope("clinic")
TOKEN = a_session(SCOPE).seal(CANARY.encode(), Context(SCOPE, "content")).decode()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "sealyard.yaml"
    path.write_text(CONFIGURATION)
    return path


def test_cases_say_who_asks(configuration: Path) -> None:
    cases = configuration.parent / "cases.yaml"
    cases.write_text(CASES)
    assert "7 passed, 0 failed" in invoke("test", str(cases), "--coverage").stdout


def test_a_case_of_a_caller_that_is_none_fails(configuration: Path) -> None:
    cases = configuration.parent / "cases.yaml"
    cases.write_text(CASES.replace("caller: billing,", "caller: biling,"))
    told = invoke("test", str(cases), status=1).stdout
    assert "caller: the listener has none of the name biling" in told


@pytest.mark.parametrize(
    ("caller", "status", "told"),
    [
        ("doctor", 0, '"<content opened>"'),
        ("clerk", 0, '"<content masked>"'),
        ("billing", 0, '"<content absent>"'),
        (None, 1, "caller-may-not-open"),
    ],
)
def test_a_message_is_explained_as_of_a_caller(
    configuration: Path, caller: str | None, status: int, told: str
) -> None:
    answer = json.dumps([{"content": TOKEN}])
    explain = partial(invoke, "explain", "--config", str(configuration), "GET", "/notes")
    who = () if caller is None else ("--caller", caller, "--claim", "org=clinic")
    stated = ("-H", "X-Purpose-Of-Use: treatment")
    result = explain("--response", answer, *who, *stated, status=status)
    assert told in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--caller", "doctr"), ("--claim", "org=clinic")],
)
def test_a_caller_that_is_none_is_a_usage_error(
    configuration: Path, arguments: tuple[str, ...]
) -> None:
    invoke("explain", "--config", str(configuration), "GET", "/notes", *arguments, status=2)


def test_what_a_rule_is_played_with_comes_from_the_caller_that_gets_most() -> None:
    text = CONFIGURATION.replace("tenant: caller:org", "tenant: const:t")
    (listener,) = parse(text, Path("/etc/sealyard.yaml"), {}).settings.listeners
    told = played(listener)
    assert any("api / read" in one and "not-a-token" in one for one in told)


def test_the_page_of_who_sees_what_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "who-sees-what.md").read_text()
    rules, cases = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (commands,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    listen = "    listen: 127.0.0.1:8080\n    upstream: http://127.0.0.1:3000\n"
    rest = "    unmatched: reject\n    defaults: {tenant: const:clinic}\n"
    (tmp_path / "sealyard.yaml").write_text(
        "version: 1\nkeys: {keyring: {file: keyring.jwe, key: {file: root.key}}}\n"
        + rules.replace("  - name: api\n", f"  - name: api\n{listen}{rest}")
    )
    (tmp_path / "cases.yaml").write_text(cases)
    scope = Scope("clinic", "7")
    row = {
        name: a_session(scope).seal(b"x", Context(scope, name)).decode()
        for name in ("content", "card")
    }
    (tmp_path / "list.json").write_text(json.dumps([row]))
    monkeypatch.chdir(tmp_path)

    told = [
        invoke(*shlex.split(line.removeprefix("$ sealyard "))).stdout
        for line in commands.splitlines()
    ]
    assert "<content absent>" in told[0]
    assert "<card opened>" in told[0]
    assert "1 passed, 0 failed" in told[1]


def test_a_change_of_who_gets_what_is_noticed_by_a_case_of_who_does_not(
    configuration: Path,
) -> None:
    cases = configuration.parent / "cases.yaml"
    changes = (
        "rule 'read': response: every caller gets $.*.content",
        "rule 'write': request: block 1 takes messages of everybody",
    )
    cases.write_text(CASES)
    told = invoke("test", str(cases), "--mutate", status=1).stdout
    assert not any(one in told for one in changes)
    doctors = CASES[: CASES.index("  - name: a clerk reads")]
    cases.write_text(doctors)
    told = invoke("test", str(cases), "--mutate", status=1).stdout
    for one in changes:
        assert f"no case notices: {one}" in told

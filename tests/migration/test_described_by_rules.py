"""A job whose description is the rules: what no rule opens is refused, whatever the verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import invoke
from tests.migration.builders import CANARY, SQLITE_JOB, a_clinic, stored

RULES = """\
version: 1
keys:
  keyring: {file: keyring.jwe, passphrase: {env: SEALYARD_PASSPHRASE}}
  store: memory
  sessions: {mode: durable}
admin: {listen: 127.0.0.1:9901, token: {file: admin.token}}
fields:
  content: {form: short}
listeners:
  - name: api
    listen: 127.0.0.1:8080
    upstream: http://127.0.0.1:3000
    unmatched: pass
    rules:
      - name: send
        match: POST /api/messages
        tenant: const:clinic
        conversation: $.thread
        bind: [tenant, conversation, field]
        request: {encrypt: [$.content]}
        response: {decrypt: [$.content]}
"""
JOB = (
    SQLITE_JOB.replace("column:org", "const:clinic").replace(
        "- column: content", "- column: content\n        form: short"
    )
    + "rules: sealyard.yaml\n"
)
JOB = JOB.replace("field: content", "field: content\n        form: short")


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = a_clinic(tmp_path, monkeypatch)
    (tmp_path / "sealyard.yaml").write_text(RULES, "utf-8")
    (tmp_path / "job.yaml").write_text(JOB, "utf-8")
    return found


@pytest.mark.parametrize("verb", ["plan", "seal", "verify", "reseal", "open"])
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("field: content", "field: body", "has the field `body`, which no rule opens"),
        ("    tenant: const:clinic\n", "", "binds [conversation, field], and its rule"),
        ("const:clinic", "const:hospital", "has the tenant `hospital`, and its rule `clinic`"),
        ("form: short", "form: jwe", "has the form `jwe`, and its rule `short`"),
    ],
)
def test_what_no_rule_opens_is_refused_by_every_verb_and_nothing_is_changed(
    clinic: Path, verb: str, old: str, new: str, told: str
) -> None:
    clinic.with_name("job.yaml").write_text(JOB.replace(old, new), "utf-8")
    before = stored(clinic)
    refused = invoke("migrate", verb, "job.yaml", status=3)

    assert told in refused.output
    assert stored(clinic) == before


CALLERS = """\
    callers:
      - name: doctor
        jwt:
          issuer: https://id.clinic
          audience: messages
          jwks: {{file: jwks.json}}
          algorithms: [ES256]
          tenants: {{claim: org, {names}}}
"""


@pytest.mark.parametrize(
    ("names", "tenant", "status"),
    [
        ("allow: [clinic]", "clinic", 0),
        ("allow: [clinic]", "lab", 3),
        ("prefix: 'idp:'", "idp:clinic", 0),
        ("prefix: 'idp:'", "clinic", 3),
        ("prefix: 'idp:'", "idp:", 3),
        ("map: names.json", "clinic", 0),
        ("map: names.json", "Clinic AG", 3),
        ("map: gone.json", "clinic", 0),
    ],
)
def test_a_constant_tenant_is_one_that_an_issuer_may_name(
    clinic: Path, names: str, tenant: str, status: int
) -> None:
    clinic.with_name("names.json").write_text('{"Clinic AG": "clinic"}', "utf-8")
    rules = RULES.replace("const:clinic", "caller:org")
    rules = rules.replace("    rules:\n", CALLERS.format(names=names) + "    rules:\n")
    clinic.with_name("sealyard.yaml").write_text(rules, "utf-8")
    job = JOB.replace("const:clinic", f'"const:{tenant}"')
    clinic.with_name("job.yaml").write_text(job, "utf-8")

    told = invoke("migrate", "plan", "job.yaml", status=status)

    assert ("which no caller of its rule may name" in told.output) == (status == 3)


def test_a_tenant_that_is_read_from_a_column_may_be_the_constant_of_the_rules(
    clinic: Path,
) -> None:
    clinic.with_name("job.yaml").write_text(JOB.replace("const:clinic", "column:org"), "utf-8")

    invoke("migrate", "seal", "job.yaml")


def test_rules_that_open_all_tokens_open_a_column_that_binds_the_same_parts(clinic: Path) -> None:
    rules = clinic.with_name("sealyard.yaml")
    rules.write_text(
        RULES.replace("[tenant, conversation, field]", "[tenant, conversation]").replace(
            "decrypt: [$.content]", "decrypt: tokens"
        ),
        "utf-8",
    )
    unlike = invoke("migrate", "seal", "job.yaml", status=3)
    job = clinic.with_name("job.yaml")
    bound = "form: short\n        bind: [tenant, conversation]"
    job.write_text(JOB.replace("form: short", bound), "utf-8")
    invoke("migrate", "seal", "job.yaml")

    assert "`content` binds [conversation, field, tenant]" in unlike.output


def test_what_is_opened_is_sealed_again_and_opened_to_the_very_bytes(clinic: Path) -> None:
    before = stored(clinic)
    for _ in range(2):
        invoke("migrate", "seal", "job.yaml")
        assert CANARY not in str(stored(clinic))
        invoke("migrate", "verify", "job.yaml")
        invoke("migrate", "open", "job.yaml")
        assert stored(clinic) == before
        invoke("migrate", "verify", "job.yaml", status=1)


def test_a_seal_that_was_ended_early_goes_on_after_an_open(clinic: Path) -> None:
    before = stored(clinic)
    invoke("migrate", "seal", "job.yaml")
    state = clinic.with_name("job.yaml.seal.state")
    invoke("migrate", "tell", "job.yaml", "stop")
    assert not state.exists()
    invoke("migrate", "open", "job.yaml")
    sealed = invoke("migrate", "seal", "job.yaml")

    assert f"{len(before)} sealed-now" in sealed.output
    invoke("migrate", "verify", "job.yaml")


def test_a_plan_says_that_no_rules_are_compared(clinic: Path) -> None:
    compared = invoke("migrate", "plan", "job.yaml")
    clinic.with_name("job.yaml").write_text(JOB.replace("rules: sealyard.yaml\n", ""), "utf-8")
    alone = invoke("migrate", "plan", "job.yaml")

    assert "no rules are compared" not in compared.output
    assert "no rules are compared with this job" in alone.output

"""The section `admin`: who is admitted, and what is wrong with how it says so."""

from __future__ import annotations

import pytest

from proxy.config.settings import (
    AdminClient,
    AdminKubernetes,
    AdminSettings,
    AdminToken,
    ListenerTls,
    SecretReference,
    TcpAddress,
)
from proxy.config.settings.admin import AdminAccount

from ..builders import FILE, changed, loaded, problems_of

FULL = """\
admin:
  listen: 127.0.0.1:9901
  tls: {cert: a.pem, key: a.key, client_ca: ca.pem}
  tokens:
    - {name: dashboard, token: {file: read.token}, scopes: [read]}
    - {name: crypto, token: {env: CRYPTO}, scopes: [seal, open], expires: 2027-06-01}
    - {name: later, token: {env: LATER}, scopes: [read], expires: "2027-06-01T02:00:00+02:00"}
  clients:
    - {name: ops, subject: "CN=ops,O=Clinic", scopes: [keys, reload]}
    - {name: mesh, uri: spiffe://clinic/ops, scopes: [read]}
  kubernetes:
    audience: sealyard
    api: https://10.0.0.1:6443
    ca: ca.crt
    accounts:
      - {account: monitoring/prometheus, scopes: [read]}
"""
JUNE = 1811808000
FOLDER = FILE.parent


def admin_of(section: str) -> AdminSettings | None:
    return loaded(changed("listeners:\n", f"{section}listeners:\n")).settings.admin


def told(section: str) -> list[str]:
    return problems_of(changed("listeners:\n", f"{section}listeners:\n"))


def test_everybody_who_is_admitted_is_kept() -> None:
    pod = "/var/run/secrets/kubernetes.io/serviceaccount"
    expected = AdminSettings(
        TcpAddress("127.0.0.1", 9901),
        (
            AdminToken(
                "dashboard", SecretReference(file=FOLDER / "read.token"), frozenset({"read"})
            ),
            AdminToken("crypto", SecretReference(env="CRYPTO"), frozenset({"seal", "open"}), JUNE),
            AdminToken("later", SecretReference(env="LATER"), frozenset({"read"}), JUNE),
        ),
        ListenerTls(FOLDER / "a.pem", FOLDER / "a.key", FOLDER / "ca.pem"),
        (
            AdminClient("ops", ("subject", "CN=ops,O=Clinic"), frozenset({"keys", "reload"})),
            AdminClient("mesh", ("uri", "spiffe://clinic/ops"), frozenset({"read"})),
        ),
        AdminKubernetes(
            (AdminAccount("monitoring/prometheus", frozenset({"read"})),),
            "sealyard",
            TcpAddress("10.0.0.1", 6443),
            FOLDER / "ca.crt",
            FOLDER.joinpath(f"{pod}/token"),
        ),
    )

    assert admin_of(FULL) == expected


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("[read]}", "[reed]}", "`reed` is unknown; did you mean `read`?"),
        ("[read]}", "[]}", "the list is empty"),
        ("name: later", "name: crypto", "the name `crypto` is given twice"),
        ("name: mesh", "name: later", "the name `later` is given twice"),
        ("name: later", "name: 'la ter'", "is not a name: 1 to 64 of"),
        ("2027-06-01}", "2027-6-1}", "`2027-6-1` is not a time"),
        ("+02:00", "", "is not a time"),
        ("T02:00:00+02:00", " 02:00:00", "is not a time"),
        (", client_ca: ca.pem", "", "needs `tls` in `admin`; write `tls: {…, client_ca: path}`"),
        ("uri: spiffe", "dns: a, uri: spiffe", "has `dns` and `uri`; give only one of them"),
        ("https://10.0.0.1:6443", "http://10.0.0.1:6443", "must be an `https` address"),
        ("monitoring/prometheus", "prometheus", "`prometheus` is not a service account"),
        ("    audience: sealyard\n", "", "lacks the key `audience`"),
        (
            "token: {env: LATER}",
            "token: hunter2hunter2hunter2",
            "a secret must not be written in the file",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(written: str, instead: str, message: str) -> None:
    assert written in FULL
    found = told(FULL.replace(written, instead, 1))

    assert any(message in one for one in found), found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("written", "expires"),
    [
        ("20270601", JUNE),
        ("2027-06-01t02:00:00+02:00", JUNE),
        ("2027-06-01 02:00:00+02:00", JUNE),
        ("2027-05-31 16:00:00-08:00", JUNE),
        ("2027-06-01 00:00:00Z", JUNE),
        ("1970-01-01", 1),  # 0 is never
    ],
)
def test_a_time_keeps_its_offset_however_it_is_separated(written: str, expires: int) -> None:
    admin = admin_of(FULL.replace("2027-06-01}", written + "}", 1))
    assert admin is not None
    assert admin.tokens[1].expires == expires

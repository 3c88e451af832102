import dataclasses
from pathlib import Path

import pytest

from proxy.config.settings import (
    AdminSettings,
    AdminToken,
    AuditSettings,
    KeySettings,
    ListenerTls,
    PinSettings,
    RedisCluster,
    RedisSentinels,
    RedisSettings,
    RootSettings,
    SecretReference,
    SessionKeys,
    TcpAddress,
    UnixAddress,
    UpstreamSettings,
    UpstreamTls,
)
from proxy.config.settings.file import HealthSettings
from proxy.config.settings.keys import KeyringSettings
from proxy.config.settings.roots.aws_kms import AwsKmsOptions
from proxy.config.settings.roots.azure_kv import AzureKvOptions
from proxy.config.settings.roots.gcp_kms import GcpFederation, GcpKmsOptions
from proxy.config.settings.roots.pkcs11 import Pkcs11Options
from proxy.config.settings.store import StoreSettings
from proxy.config.values import files_in
from proxy.core.errors import ConfigurationError
from tests.config.builders import changed, loaded, problems_of

FOLDER = Path("/etc/sealyard")
BOTH_USERS = "user: u, password: {env: P}, sentinel_user: v, sentinel_password: {file: s}"


def test_keys_have_defaults() -> None:
    root = RootSettings("passphrase", SecretReference(env="P"))

    expected = KeySettings(
        KeyringSettings(FOLDER / "keyring.jwe", (root,)),
        StoreSettings("memory"),
        SessionKeys("durable", 3600.0, 3600.0),
    )

    assert expected == loaded(changed("version: 1", "version: 1")).settings.keys


def test_keys_are_as_written() -> None:
    text = changed("passphrase: {env: P}", "key: {file: /run/root.key}")
    text = text.replace(
        "listeners:",
        "  store: memory\n  sessions: {mode: durable, ttl: 24h, grace: 0s}\nlisteners:",
    )

    keys = loaded(text).settings.keys

    assert (
        RootSettings("file", SecretReference(file=Path("/run/root.key"))) == keys.keyring.roots[0]
    )
    assert (keys.sessions.ttl, keys.sessions.grace) == (86400.0, 0.0)


def test_the_keyring_may_be_pinned_by_its_id() -> None:
    pinned = changed("passphrase: {env: P}", "passphrase: {env: P}, id: lXJ6nQm9bTq0x3VfYkR2dA")
    assert loaded(pinned).settings.keys.keyring.id == "lXJ6nQm9bTq0x3VfYkR2dA"


def test_reports_of_verify_are_files_beside_the_configuration() -> None:
    reports = loaded(
        changed("listeners:\n", "  verify_reports: [proof.jws, /var/lib/two.jws]\nlisteners:\n")
    ).settings.keys.verify_reports

    assert reports == (FOLDER / "proof.jws", Path("/var/lib/two.jws"))


BOB = f"{{participant: bob, keys: [{'A' * 43}]}}"


def with_pins(written: str) -> str:
    return changed("listeners:\n", f"  pins: {written}\nlisteners:\n")


def test_pins_are_as_written() -> None:
    kids = "A" * 43, "b-_" * 14 + "b"
    listed = f"[{{participant: bob, keys: [{kids[0]}, {kids[1]}]}}]"

    pins = loaded(with_pins(f"{{mode: enforce, participants: {listed}}}")).settings.keys.pins

    assert pins == PinSettings("enforce", {"bob": frozenset(kids)})
    assert loaded(with_pins("{mode: 'off'}")).settings.keys.pins == PinSettings("off")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{mode: warn}", "`warn` is unknown"),
        ("{participants: []}", "is empty"),
        ("{participants: [{participant: bob}]}", "lacks the key `keys`"),
        ("{participants: [{participant: bob, keys: [short]}]}", "thumbprint"),
        (f"{{participants: [{BOB}, {BOB}]}}", "listed twice"),
    ],
)
def test_pins_that_cannot_be_are_told(written: str, told: str) -> None:
    (problem,) = problems_of(with_pins(written))

    assert told in problem


def with_store(written: str) -> KeySettings:
    """Return the settings of keys with that store."""
    return loaded(changed("listeners:\n", f"  store: {written}\nlisteners:\n")).settings.keys


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("redis://redis", RedisSettings(TcpAddress("redis", 6379))),
        ("rediss://redis:7000/3", RedisSettings(TcpAddress("redis", 7000), tls=True, db=3)),
        ("redis://[::1]:7000/", RedisSettings(TcpAddress("::1", 7000))),
        ("{url: unix:redis.sock}", RedisSettings(UnixAddress(FOLDER / "redis.sock"))),
        (
            "{url: rediss://redis, user: u, password: {env: P}, ca: a, cert: c, key: k, prefix: x}",
            RedisSettings(
                TcpAddress("redis", 6379),
                tls=True,
                user="u",
                password=SecretReference(env="P"),
                ca=FOLDER / "a",
                cert=FOLDER / "c",
                key=FOLDER / "k",
                prefix="x",
            ),
        ),
        (
            "{cluster: [rediss://a, 'rediss://b:7000'], ca: ca.pem}",
            RedisSettings(
                RedisCluster((TcpAddress("a", 6379), TcpAddress("b", 7000))),
                tls=True,
                ca=FOLDER / "ca.pem",
            ),
        ),
        (
            f"{{sentinels: [redis://a, 'redis://b:7000'], service: s, db: 2, {BOTH_USERS}}}",
            RedisSettings(
                RedisSentinels(
                    "s",
                    (TcpAddress("a", 26379), TcpAddress("b", 7000)),
                    "v",
                    SecretReference(file=FOLDER / "s"),
                ),
                db=2,
                user="u",
                password=SecretReference(env="P"),
            ),
        ),
    ],
)
def test_a_redis_is_as_written(written: str, expected: RedisSettings) -> None:
    keys = with_store(written)

    assert ("redis", expected) == (keys.store.address, keys.store.options)


def test_a_sqlite_file_is_relative_to_the_configuration() -> None:
    assert with_store("sqlite:keys.db").store.address == "sqlite:/etc/sealyard/keys.db"
    assert with_store("sqlite:/var/keys.db").store.address == "sqlite:/var/keys.db"


def test_ephemeral_sessions_are_as_written() -> None:
    text = changed(
        "listeners:\n",
        "  sessions: {mode: ephemeral, revocation_max_age: 5s, package_max_age: 7d, "
        "accept_loss: true}\nlisteners:\n",
    )

    keys = loaded(text).settings.keys

    assert (keys.sessions.mode, keys.sessions.revocation_max_age, keys.sessions.accept_loss) == (
        "ephemeral",
        5.0,
        True,
    )
    assert keys.sessions.package_max_age == 7 * 86_400


PACKAGED = """\
    rules:
      - name: send
        match: POST /send
        conversation: $.conversation
        sender: const:alice
        recipients: $.recipients
        request: {encrypt: $.content}
"""


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize("packaged", ["", PACKAGED])
@pytest.mark.parametrize("store", ["memory", "sqlite:keys.db", "redis://localhost"])
@pytest.mark.parametrize("accepted", ["", ", accept_loss: false", ", accept_loss: true"])
def test_keys_that_would_stand_in_memory_alone_must_be_asked_for(
    mode: str, packaged: str, store: str, accepted: str
) -> None:
    keys = f"  store: {store}\n  sessions: {{mode: {mode}{accepted}}}\n"
    text = changed("listeners:\n", f"{keys}listeners:\n")
    if packaged:
        text = text.partition("    rules:\n")[0] + packaged
    alone = store == "memory" and accepted != ", accept_loss: true"

    if alone and (mode == "ephemeral" or packaged):
        with pytest.raises(ConfigurationError) as told:
            loaded(text)
        assert "each restart loses" in str(told.value.problems)
        assert "accept_loss" in str(told.value.problems)
    else:
        assert not any("each restart loses" in one for one in loaded(text).warnings)


def test_admin_and_health_are_kept() -> None:
    more = (
        "admin: {listen: 127.0.0.1:9901, token: {file: admin.token}}\nhealth: {listen: 'unix:h'}\n"
    )

    settings = loaded(changed("listeners:\n", f"{more}listeners:\n")).settings

    secret = SecretReference(file=FOLDER / "admin.token")
    token = AdminToken("token", secret, frozenset({"read", "keys", "reload"}))
    assert AdminSettings(TcpAddress("127.0.0.1", 9901), (token,)) == settings.admin
    assert HealthSettings(UnixAddress(FOLDER / "h")) == settings.health


@pytest.mark.parametrize(
    ("written", "upstream"),
    [
        ("http://backend", UpstreamSettings(TcpAddress("backend", 80))),
        (
            "https://backend.example/",
            UpstreamSettings(TcpAddress("backend.example", 443), tls=True),
        ),
        ("http://[::1]:3000", UpstreamSettings(TcpAddress("::1", 3000))),
        ("unix:/run/b.sock", UpstreamSettings(UnixAddress(Path("/run/b.sock")))),
    ],
)
def test_an_upstream_is_a_place_to_connect_to(written: str, upstream: UpstreamSettings) -> None:
    (listener,) = loaded(changed("http://127.0.0.1:3000", written)).settings.listeners

    assert upstream == listener.upstream


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("0.0.0.0:0", TcpAddress("0.0.0.0", 0)),  # noqa: S104 - only read
        ("'[::]:8080'", TcpAddress("::", 8080)),
        ("unix:run/a.sock", UnixAddress(FOLDER / "run/a.sock")),
    ],
)
def test_an_address_is_a_place_to_listen_at(written: str, address: TcpAddress) -> None:
    (listener,) = loaded(changed("127.0.0.1:8080", written)).settings.listeners

    assert address == listener.listen


def test_tls_is_as_written() -> None:
    text = changed("http://127.0.0.1:3000", "https://127.0.0.1:3000")
    text = text.replace(
        "    unmatched: pass\n",
        "    unmatched: reject\n"
        "    tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}\n"
        "    upstream_tls: {ca: ca.pem, cert: c.pem, key: k.pem, server_name: backend}\n",
    )

    (listener,) = loaded(text).settings.listeners

    ca, cert, key = (FOLDER / name for name in ("ca.pem", "c.pem", "k.pem"))
    assert ListenerTls(cert, key, ca) == listener.tls
    assert UpstreamTls(ca, cert, key, "backend") == listener.upstream_tls
    assert not listener.pass_unmatched


def test_a_secret_is_a_reference_and_nothing_else() -> None:
    assert [one.name for one in dataclasses.fields(SecretReference)] == ["env", "file"]


def test_a_secret_is_named_by_one_place() -> None:
    for env, file in ((None, None), ("P", Path("p"))):
        with pytest.raises(ValueError, match="either env or file"):
            SecretReference(env, file)


@pytest.mark.parametrize(
    ("said", "file", "block"),
    [
        ("{file: audit.log}", "audit.log", True),
        ("{file: audit.log, on_failure: warn}", "audit.log", False),
        ("{on_failure: block}", "keyring.jwe.audit", True),
    ],
)
def test_the_audit_log_stands_beside_the_keyring_unless_said(
    said: str, file: str, *, block: bool
) -> None:
    settings = loaded(changed("listeners:\n", f"audit: {said}\nlisteners:\n")).settings
    assert settings.audit == AuditSettings(FOLDER / file, block)


def test_lines_about_what_is_opened_are_asked_for() -> None:
    usual = loaded(changed("listeners:\n", "audit: {}\nlisteners:\n")).settings.audit
    assert usual is not None
    assert (usual.opens, usual.clear_subjects) == ("none", False)
    said = "audit: {opens: values-and-masks, subjects: clear}\nlisteners:\n"
    audit = loaded(changed("listeners:\n", said)).settings.audit
    assert audit is not None
    assert (audit.opens, audit.clear_subjects) == ("values-and-masks", True)


def test_several_roots_are_tried_in_the_order_of_the_file() -> None:
    listed = (
        "roots: [{aws-kms: {key: alias/a, region: eu-west-1, endpoint: 'http://localhost:8/'}},"
        " {aws-kms: {key: 'arn:aws:kms:us-east-1:123456789012:key/mrk-1', ca: ca.pem}},"
        f" {{key: {{file: root.key}}}}], id: {'A' * 22}"
    )
    text = changed("passphrase: {env: P}", listed)
    keys = loaded(text).settings.keys

    assert keys.keyring.roots == (
        RootSettings("aws-kms", AwsKmsOptions("alias/a", "eu-west-1", "http://localhost:8")),
        RootSettings(
            "aws-kms",
            AwsKmsOptions(
                "arn:aws:kms:us-east-1:123456789012:key/mrk-1", "us-east-1", ca=FOLDER / "ca.pem"
            ),
        ),
        RootSettings("file", SecretReference(file=FOLDER / "root.key")),
    )
    assert files_in(loaded(text).settings.keys.keyring) == (
        FOLDER / "keyring.jwe",
        FOLDER / "ca.pem",
        FOLDER / "root.key",
    )


def test_a_key_of_google_cloud_has_a_name_and_a_federation() -> None:
    name = "projects/p-1/locations/global/keyRings/r_1/cryptoKeys/k"
    audience = (
        "//iam.googleapis.com/projects/7/locations/global/workloadIdentityPools/a/providers/b"
    )
    federation = f"{{audience: '{audience}', token: token, service_account: a@b.example}}"
    text = changed(
        "passphrase: {env: P}",
        f"gcp-kms: {{key: {name}, federation: {federation}, iam: 'https://iam/', ca: ca.pem}},"
        f" id: {'A' * 22}",
    )
    federated = GcpFederation(audience, str(FOLDER / "token"), "a@b.example")
    options = GcpKmsOptions(name, federated, iam="https://iam", ca=FOLDER / "ca.pem")

    assert loaded(text).settings.keys.keyring.roots == (RootSettings("gcp-kms", options),)
    plain = changed("passphrase: {env: P}", f"gcp-kms: {{key: {name}}}")
    assert loaded(plain).settings.keys.keyring.roots == (
        RootSettings("gcp-kms", GcpKmsOptions(name)),
    )


def test_a_key_of_azure_has_a_vault_and_what_its_tokens_are_for() -> None:
    text = changed(
        "passphrase: {env: P}", "azure-kv: {vault: 'https://v-1.vault.azure.cn/', key: k}"
    )
    options = AzureKvOptions("https://v-1.vault.azure.cn", "k", audience="https://vault.azure.cn")

    assert loaded(text).settings.keys.keyring.roots == (RootSettings("azure-kv", options),)
    more = (
        "mechanism: A256GCM, audience: 'https://a/', client: 12345678-1234-1234-1234-123456789012"
    )
    found = loaded(text.replace("key: k", f"key: k, {more}")).settings.keys.keyring.roots
    client = "12345678-1234-1234-1234-123456789012"
    assert found[0].options == dataclasses.replace(
        options, mechanism="A256GCM", audience="https://a", client=client
    )


def test_a_token_has_a_key_a_pin_and_a_mechanism() -> None:
    token = "module: /lib/hsm.so, token: t 1, serial: '01', key: root, pin: {file: pin}"
    text = changed("passphrase: {env: P}", f"pkcs11: {{{token}}}, id: {'A' * 22}")
    options = Pkcs11Options(
        Path("/lib/hsm.so"), "t 1", "01", "root", SecretReference(file=FOLDER / "pin")
    )

    assert loaded(text).settings.keys.keyring.roots == (RootSettings("pkcs11", options),)
    more = "mechanism: rsa-oaep, timeout: 1m, environment: [A=1, B_2=]"
    assert loaded(text.replace(token, f"{token}, {more}")).settings.keys.keyring.roots == (
        RootSettings(
            "pkcs11",
            dataclasses.replace(
                options, mechanism="rsa-oaep", timeout=60.0, environment=("A=1", "B_2=")
            ),
        ),
    )


def test_a_key_service_without_a_pinned_keyring_is_a_warning() -> None:
    text = changed("passphrase: {env: P}", "aws-kms: {key: alias/a, region: eu-west-1}")

    assert any("needs `id`" in one for one in loaded(text).warnings)
    pinned = text.replace("region: eu-west-1}", f"region: eu-west-1}}, id: {'A' * 22}")
    assert not any("needs `id`" in one for one in loaded(pinned).warnings)

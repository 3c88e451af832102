"""AWS KMS: moto's, with its token service; and doubles of what moto does not have."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.config.settings.roots.aws_kms import AwsKmsOptions
from proxy.core.errors import KeyringError
from proxy.keys.keyring import keyring as keyrings
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.roots.aws_credentials import CredentialChain
from proxy.keys.keyring.roots.aws_kms import AwsKmsRoot
from proxy.keys.keyring.roots.aws_signature import AwsCredentials, CredentialScope, signed
from proxy.keys.keyring.roots.key_service import call
from proxy.keys.policy import ANSWER_BYTES
from tests.contracts.root_service import holds_the_contract
from tests.servers import await_port, child, free_port

ROOT = Path(__file__).parents[4]
MOTO = ROOT / ".venv-moto" / "bin" / "moto_server"
REGION = "eu-central-1"
ARN = f"arn:aws:kms:{REGION}:123456789012:key/0000"
ID, OTHER = "A" * 22, "B" * 22
CANARY = b"canary of a root key"
ENVIRON = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "canary-secret"}


@dataclass
class Kms:
    """A running service, and one of its keys."""

    url: str
    key: str = ""

    def make_key(self) -> str:
        """Return the ARN of a new key."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "TrentService.CreateKey",
        }
        credentials, scope = (
            AwsCredentials("a", "b"),
            CredentialScope(REGION, "kms", datetime.now(UTC)),
        )
        host = self.url.split("/")[2]
        made = signed(host, headers, b"{}", credentials, scope)
        answer = call("POST", self.url, made, b"{}", seconds=60)  # moto imports at its first call
        arn: str = answer.json()["KeyMetadata"]["Arn"]
        return arn

    def root(self, key: str = "", environ: dict[str, str] | None = None) -> AwsKmsRoot:
        """Return a root with the key, or another one."""
        options = AwsKmsOptions(key or self.key, REGION, self.url, self.url)
        return AwsKmsRoot(options, ENVIRON if environ is None else environ)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kms]:
    """Run moto."""
    if not MOTO.exists():
        pytest.skip("no moto here: `./dev test tests/keys` installs it")
    port, log = free_port(), tmp_path_factory.mktemp("moto") / "log"
    with child([str(MOTO), "-H", "127.0.0.1", "-p", str(port)], log, {}) as process:
        await_port(process, port, log)
        made = Kms(f"http://127.0.0.1:{port}/")
        made.key = made.make_key()
        yield made


def test_a_root_in_aws_kms_behaves_as_a_root(moto: Kms, tmp_path: Path) -> None:
    holds_the_contract(moto.root(), moto.root(moto.make_key()), tmp_path)


def test_the_file_names_the_key_and_not_the_address(moto: Kms, tmp_path: Path) -> None:
    keyring = keyrings.create("k", now=1, random=os.urandom)
    create_keyring(tmp_path / "keyring.json", keyring, moto.root())
    text = (tmp_path / "keyring.json").read_text()

    assert moto.key in text
    assert moto.url not in text


def test_an_alias_of_another_region_is_another_root() -> None:
    here, there = (
        AwsKmsRoot(AwsKmsOptions("alias/sealyard", region), {}) for region in (REGION, "us-east-1")
    )
    assert here.key == f"{REGION}/alias/sealyard"
    assert here.key != there.key
    assert AwsKmsRoot(AwsKmsOptions(ARN, REGION), {}).key == ARN


def test_a_key_that_is_never_rotated_is_a_finding(moto: Kms) -> None:
    (found,) = moto.root().examine()
    assert (found.check, found.verdict) == ("root aws-kms", "warning")
    assert "never rotated" in found.text
    with double() as there:
        root = Kms(f"{there.url}/", ARN).root()
        for answer, verdict in (
            ((200, b'{"KeyRotationEnabled": true}'), "ok"),
            ((400, b'{"__type": "AccessDeniedException"}'), "unknown"),
        ):
            there.answers["/"] = answer
            assert [one.verdict for one in root.examine()] == [verdict]


def test_a_wrapping_is_bound_to_its_keyring_and_its_key(moto: Kms) -> None:
    members = moto.root().wrap(CANARY, ID)

    assert moto.root().unwrap(members, ID) == CANARY
    with pytest.raises(KeyringError, match="Decrypt: InvalidCiphertext"):
        moto.root().unwrap(members, OTHER)
    other = moto.make_key()
    with pytest.raises(KeyringError, match="AWS KMS: Decrypt: "):
        moto.root(other).unwrap(members, ID)
    with pytest.raises(KeyringError, match="unknown members"):
        moto.root().unwrap({**members, "endpoint": "http://127.0.0.1:1/"}, ID)


def test_the_role_of_a_service_account_opens_it(moto: Kms, tmp_path: Path) -> None:
    token = tmp_path / "token"
    environ = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/sealyard",
    }
    members = moto.root().wrap(CANARY, ID)
    with pytest.raises(KeyringError, match="No such file"):
        moto.root(environ=environ).unwrap(members, ID)
    for text in ("", "two\nlines", "\xff", "a" * 70_000):
        token.write_text(text)
        with pytest.raises(KeyringError, match="no token"):
            moto.root(environ=environ).unwrap(members, ID)
    token.write_text("a.b.c\n")
    assert moto.root(environ=environ).unwrap(members, ID) == CANARY


# --- doubles --------------------------------------------------------------------------------------


@dataclass
class Double:
    """Answers each path with a status, headers and a body, and remembers what it was sent."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def double() -> Iterator[Double]:
    made = Double()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.asked.append((self.command, self.path, dict(self.headers)))
            status, body = made.answers.get(self.path, (404, b""))
            self.send_response(status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the base class names them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


GIVEN = json.dumps({"AccessKeyId": "A", "SecretAccessKey": "B", "Token": "C"}).encode()


def test_the_credentials_of_a_role_are_those_of_the_answer(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a.b.c")
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}
    members = "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>a/+b=</SecretAccessKey>"
    whole = f'<R xmlns="https://x/">{members}\n<SessionToken>\n  c==\n </SessionToken></R>'
    with double() as there:
        chain = CredentialChain(environ, REGION, sts=f"{there.url}/")
        there.answers["/"] = (200, whole.encode())
        assert chain.find() == AwsCredentials("ASIA1", "a/+b=", "c==")
        for status, body, reason in (
            (403, whole, "AssumeRoleWithWebIdentity: status 403"),
            (200, "", "no credentials"),
            (200, members, "no credentials"),
            (200, whole.replace("ASIA1", "&canary;"), "no credentials"),
            (200, whole.replace("a/+b=", ""), "no credentials"),
            (200, whole.replace("c==", "canary\r\nX: y"), "no credentials"),
        ):
            there.answers["/"] = (status, body.encode())
            with pytest.raises(KeyringError, match=reason) as refused:
                chain.find()
            assert "canary" not in str(refused.value)


def test_a_container_gets_the_credentials_of_its_platform(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary-of-the-container\n")
    with double() as there:
        there.answers["/v1/credentials?x=1"] = (200, GIVEN)
        environ = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{there.url}/v1/credentials?x=1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
        }
        assert CredentialChain(environ, REGION).find() == AwsCredentials("A", "B", "C")
        assert there.asked[0][2]["Authorization"] == "canary-of-the-container"


def test_credentials_are_not_fetched_from_anywhere() -> None:
    for uri in ("http://198.51.100.1/x", "http://169.254.170.2.example/x", "ftp://127.0.0.9/x"):
        environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}
        with pytest.raises(KeyringError, match="not allowed"):
            CredentialChain(environ, REGION).find()


def test_an_instance_gets_the_credentials_of_its_role() -> None:
    roles = "/latest/meta-data/iam/security-credentials/"
    with double() as there:
        there.answers |= {"/latest/api/token": (200, b"tkn"), roles: (200, b"role\n")}
        there.answers[f"{roles}role"] = (200, GIVEN)
        chain = CredentialChain({}, REGION, metadata=there.url)
        assert chain.find() == AwsCredentials("A", "B", "C")
        assert [one[0] for one in there.asked] == ["PUT", "GET", "GET"]
        assert there.asked[2][2]["X-aws-ec2-metadata-token"] == "tkn"
        for answers, reason in (
            ({"/latest/api/token": (403, b"")}, "gives no token"),
            ({roles: (404, b"")}, "no role"),
            ({roles: (200, b"../x")}, "no role"),
            ({f"{roles}role": (200, b"[]")}, "no credentials"),
        ):
            before = dict(there.answers)
            there.answers |= answers
            with pytest.raises(KeyringError, match=reason):
                chain.find()
            there.answers = before
    with pytest.raises(KeyringError, match="no instance metadata"):
        CredentialChain({"AWS_EC2_METADATA_DISABLED": "true"}, REGION).find()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b'{"__type": "DisabledException", "message": "canary-message"}', "DisabledException"),
        (400, b'{"__type": "a.b#AccessDeniedException"}', "AccessDeniedException"),
        (400, b'{"__type": "canary message\\n"}', "status 400"),
        (500, b"canary", "status 500"),
        (200, b"canary", "no Plaintext"),
        (200, b"[]", "no Plaintext"),
        (200, b'{"Plaintext": 7}', "no Plaintext"),
        (200, b'{"Plaintext": "canary!"}', "not base64"),
        (301, b"", "status 301"),
        (200, b"x" * (ANSWER_BYTES + 1), "more than"),
    ],
)
def test_answers_that_open_nothing_have_a_reason_and_show_nothing(
    status: int, body: bytes, reason: str
) -> None:
    with double() as there:
        there.answers["/"] = (status, body)
        there.headers["Location"] = f"{there.url}/elsewhere"
        root = Kms(f"{there.url}/", "alias/sealyard").root()
        with pytest.raises(KeyringError) as refused:
            root.unwrap({"ct": "AAAA"}, ID)
        assert reason in str(refused.value)
        assert "canary" not in str(refused.value)
        assert [one[1] for one in there.asked] == ["/"]


def test_a_service_that_is_gone_has_a_reason() -> None:
    root = Kms(f"http://127.0.0.1:{free_port()}/", "alias/sealyard").root()
    with pytest.raises(KeyringError, match="refuses connections"):
        root.wrap(CANARY, ID)


def test_a_ca_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    options = AwsKmsOptions("alias/sealyard", REGION, ca=tmp_path / "no.pem")
    with pytest.raises(KeyringError, match=r"no\.pem"):
        AwsKmsRoot(options, ENVIRON).wrap(CANARY, ID)

"""Signatures of requests to AWS, against those of botocore."""

from __future__ import annotations

import json
import random  # noqa: TID251 - draws that a seed repeats
import string
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.keys.keyring.roots.aws_signature import AwsCredentials, CredentialScope, signed

ROOT = Path(__file__).parents[4]
ORACLE = ROOT / ".venv-moto" / "bin" / "python"
NUMBER = 10_000


def drawn(seed: int) -> dict[str, Any]:
    """Return a request as KMS and its callers might make it, and odder ones."""
    draw = random.Random(seed)  # noqa: S311 - as above

    def text(letters: str, least: int, most: int) -> str:
        return "".join(draw.choices(letters, k=draw.randint(least, most)))

    names = {text(string.ascii_letters + "-", 1, 12) for _ in range(draw.randint(0, 4))}
    unsigned = {"te", "expect", "connection", "host", "upgrade", "trailer", "authorization"}
    shown = string.ascii_letters + string.digits + "/+=.:;,-_ \t"
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"TrentService.{draw.choice(['Decrypt', 'Encrypt', 'DescribeKey'])}",
        **{f"X-{name}": text(shown, 0, 30) for name in names if name.lower() not in unsigned},
    }
    lower: set[str] = set()
    kept = {}
    for name, value in headers.items():
        if name.lower() not in lower:
            lower.add(name.lower())
            kept[name] = value
    region = draw.choice(["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-4"])
    host = draw.choice([f"kms.{region}.amazonaws.com", "127.0.0.1:5000", "[::1]:8443", "kms.test"])
    return {
        "host": host,
        "headers": kept,
        "body": draw.randbytes(draw.choice([0, 1, 100, 5000])).hex(),
        "key_id": text(string.ascii_uppercase + string.digits, 16, 20),
        "secret": text(string.ascii_letters + string.digits + "/+", 1, 60),
        "token": text(string.ascii_letters + string.digits + "/+=", 1, 400)
        if draw.random() < 0.5
        else "",
        "region": region,
        "at": datetime.fromtimestamp(draw.randrange(2**31), UTC).isoformat(),
    }


def ours(one: dict[str, Any]) -> str:
    credentials = AwsCredentials(one["key_id"], one["secret"], one["token"])
    scope = CredentialScope(one["region"], "kms", datetime.fromisoformat(one["at"]))
    made = signed(one["host"], one["headers"], bytes.fromhex(one["body"]), credentials, scope)
    return made["Authorization"]


def test_signatures_are_those_of_botocore() -> None:
    if not ORACLE.exists():
        pytest.skip("no botocore here: `./dev test tests/keys` installs it")
    seed = random.SystemRandom().randrange(2**32)
    requests = [drawn(seed + number) for number in range(NUMBER)]
    oracle = Path(__file__).with_name("botocore_oracle.py")
    done = subprocess.run(  # noqa: S603 - the script beside this file
        [str(ORACLE), str(oracle)],
        input="".join(json.dumps(one) + "\n" for one in requests),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    theirs = done.stdout.splitlines()
    assert len(theirs) == NUMBER
    for number, (one, expected) in enumerate(zip(requests, theirs, strict=True)):
        assert ours(one) == expected, seed + number


def test_credentials_do_not_show_their_secrets() -> None:
    credentials = AwsCredentials("AKIDEXAMPLE", "canary-secret", "canary-token")
    assert "canary" not in f"{credentials} {credentials!r}"
    made = signed(
        "h", {}, b"", credentials, CredentialScope("r", "kms", datetime(2026, 1, 1, tzinfo=UTC))
    )
    assert "canary-secret" not in str(made)

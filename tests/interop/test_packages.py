"""Stock JOSE libraries open key packages by the lines of README.md alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import SessionKey
from proxy.keys.participants import package
from proxy.keys.participants.package import Identity
from tests.keys.participants.builders import a_private_jwk, a_public_key

from .conftest import needs_jose, node

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
PAGE: Final = ROOT / "docs" / "how-to" / "participants.md"
KEY: Final = bytes(range(32))
JWK: Final = {
    "kty": "oct",
    "k": base64url.encode(KEY).decode(),
    "kid": base64url.encode(bytes(12)).decode(),
}
MOST_LINES: Final = 20
NAMES: Final = ("alice-enc", "bob-enc", "bob-x")
BESIDE: Final = (*NAMES, "bob-xw")  # no stock library opens the entry of the last
# joserfc prefers the name that RFC 9864 gives to the same signature.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
Call = dict[str, Any]


def lines(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def sealed(
    *,
    age: int = 0,
    recipients: tuple[str, ...] = ("alice-enc", "bob-enc"),
    sender: str = "alice-sig",
) -> Any:  # noqa: ANN401 - JSON
    text = package.seal(
        SessionKey(KEY),
        sid=bytes(12),
        scope=Scope("clinic", "c1"),
        sender=Identity(a_public_key(sender), a_private_jwk(sender)),
        recipients=[a_public_key(one) for one in recipients],
        now=int(time.time()) - age,
        ttl=3600,
    )
    return json.loads(text)


def a_call(**said: Any) -> Call:  # noqa: ANN401 - any argument of the function on the page
    standard = {
        "package": sealed(),
        "mine": whole("bob-enc"),
        "sender": a_public_key("alice-sig").to_jwk(),
        "tenant": "clinic",
        "conversation": "c1",
    }
    return {**standard, **said}


def whole(name: str) -> dict[str, Any]:
    return {**a_private_jwk(name), **a_public_key(name).to_jwk()}


@dataclass(frozen=True)
class Bad:
    name: str
    call: Callable[[], Call]


def unfitting() -> Call:
    call = a_call()
    for one in call["package"]["recipients"]:
        one["header"]["alg"] = "RSA-OAEP"
    return call


def one_added() -> Call:
    call = a_call()
    other = json.loads(json.dumps(call["package"]["recipients"][0]))
    other["header"]["kid"] = a_public_key("outsider-enc").kid
    call["package"]["recipients"].append(other)
    return call


def cut() -> Call:
    call = a_call()
    call["package"]["tag"] = base64url.encode(bytes(16)).decode()
    return call


BAD: Final = [
    Bad("the wrong recipient", lambda: a_call(mine=whole("outsider-enc"))),
    Bad("another sender", lambda: a_call(sender=a_public_key("outsider-sig").to_jwk())),
    Bad("a sender with another alg", lambda: a_call(sender=a_public_key("alice-ps").to_jwk())),
    Bad("another conversation", lambda: a_call(conversation="c2")),
    Bad("another tenant", lambda: a_call(tenant="other")),
    Bad("expired", lambda: a_call(package=sealed(age=4000))),
    Bad("an alg that does not fit", unfitting),
    Bad("one more recipient", one_added),
    Bad("a forged tag", cut),
]
each_bad = pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_page_needs_no_more_than_twenty_lines(language: str) -> None:
    written = [one for one in lines(language).splitlines() if one.strip()]

    assert len(written) <= MOST_LINES


def in_python(call: Call) -> Any:  # noqa: ANN401 - JSON
    names: dict[str, Any] = {}
    exec(lines("python"), names)  # noqa: S102 - our own page
    return names["session_key"](**call)


@pytest.mark.parametrize("name", NAMES)
def test_python_opens_a_package_by_the_lines_of_the_page(name: str) -> None:
    assert in_python(a_call(mine=whole(name), package=sealed(recipients=NAMES))) == JWK
    assert in_python(a_call(mine=whole(name), package=sealed(recipients=BESIDE))) == JWK


def by_rsa() -> Call:
    sender = a_public_key("alice-ps").to_jwk()
    return a_call(sender=sender, package=sealed(sender="alice-ps"))


def test_python_opens_what_an_rsa_key_signed() -> None:
    assert in_python(by_rsa()) == JWK


@pytest.mark.interop
@needs_jose
def test_node_opens_what_an_rsa_key_signed() -> None:
    assert in_node([by_rsa()]) == [{"jwk": JWK}]


@each_bad
def test_python_refuses_by_the_lines_of_the_page(bad: Bad) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - the library's errors or the page's
        in_python(bad.call())

    assert not isinstance(refused.value, KeyError | TypeError | NameError | Warning)


def in_node(calls: list[Call]) -> list[dict[str, Any]]:
    ask = """
let text = ""; for await (const chunk of process.stdin) text += chunk;
const answers = [];
for (const c of JSON.parse(text)) {
  const said = [c.package, c.mine, c.sender, c.tenant, c.conversation];
  try { answers.push({ jwk: await sessionKey(...said) }); }
  catch (error) { answers.push({ error: error.name, message: error.message }); }
}
process.stdout.write(JSON.stringify(answers));
"""
    return node("--input-type=module", "-e", lines("js") + ask, asked=calls)


@pytest.mark.interop
@needs_jose
def test_node_opens_a_package_by_the_lines_of_the_page() -> None:
    packages = [sealed(recipients=names) for names in (NAMES, BESIDE)]
    calls = [a_call(mine=whole(name), package=one) for one in packages for name in NAMES]

    assert in_node(calls) == [{"jwk": JWK}] * len(calls)


@pytest.mark.interop
@needs_jose
def test_node_refuses_by_the_lines_of_the_page() -> None:
    answers = in_node([bad.call() for bad in BAD])

    assert ["error" in one for one in answers] == [True] * len(BAD)
    # A mistake in the page's own code would also be an error.
    assert not {"TypeError", "ReferenceError"} & {one["error"] for one in answers}

"""The end-to-end chapter: two participants and an outsider, each with key pairs."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey, RSAKey

from ..core.crypto.context import Scope
from ..keys.participants import Use, private_key
from ..keys.participants.participant import ParticipantKey
from ..keys.participants.private_key import Opener
from ..keys.participants.public_key import USUAL, PublicKey
from ..keys.sessions import session_control
from .screen import Screen
from .stage import Stage, stage

RULES: Final = """\
    trusted_names: true
    defaults:
      tenant: const:clinic
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        sender: $.from
        recipients: $.to.*
        request: {encrypt: $.content}
      - name: list
        match: GET /api/conversations/{id}/messages
        conversation: path:id
        reader: query:reader
        response: {decrypt: $.messages.*.content, on_error: keep}
"""
MESSAGE: Final = "For your eyes only: the biopsy is benign"
_PLACE: Final = Scope("clinic", "private")
_PAIRS: Final[tuple[tuple[str, Use], ...]] = (
    ("ada", "sig"),
    ("ada", "enc"),
    ("grace", "enc"),
    ("mallory", "enc"),
)


@dataclass(frozen=True, slots=True)
class _Talk:
    """The stage with the keys of all three, by name."""

    scene: Stage
    keys: dict[tuple[str, str], tuple[PublicKey, str]]
    opener: Opener

    async def send(self, content: str, *to: str) -> str:
        """Let Ada send a message, and return what the backend has of it."""
        message = {"conversationId": "private", "from": "ada", "to": to, "content": content}
        await self.scene.post(json.dumps(message).encode())
        token: str = self.scene.backend.rows[-1]["content"]
        return token

    async def read(self, who: str) -> list[str]:
        """Return what the Sealyard beside a reader makes of the conversation."""
        answer = await self.scene.read("private", reader=who)
        return [message["content"] for message in answer.json["messages"]]

    def jwk(self, who: str, use: str) -> dict[str, Any]:
        """Return a private key as its holder has it."""
        public, sealed = self.keys[who, use]
        return {**private_key.unseal(sealed, self.opener, public), **public.to_jwk()}

    async def by_themselves(self, who: str, token: str) -> str | None:
        """Open a token with a stock JOSE library, the key of `who` and Ada's public key alone."""
        stored = self.scene.sidecar.keys.end_to_end.packages()
        packages = () if stored is None else await stored.packages(_PLACE, "ada")
        mine, sender = self.jwk(who, "enc"), self.keys["ada", "sig"][0].to_jwk()
        for one in packages:
            opened = await asyncio.to_thread(_opened, json.loads(one.package), mine, sender, token)
            if opened is not None:
                return opened
        return None


async def play(folder: Path, screen: Screen, *, rules: str = RULES) -> None:
    """Make the keys of all three, and play the chapter."""
    screen.chapter(
        "8. End to end",
        "Ada, Grace and Mallory have their own key pairs. Ada's Sealyard wraps the session key"
        " for Ada and Grace and signs the package. Neither the backend nor the store can open what"
        " it holds. (Making three RSA keys of 4096 bits takes a few seconds.)",
    )
    async with stage(folder, rules=rules) as scene:
        talk = await _people(scene)
        first = await _one_message(talk, screen)
        await _changes(talk, screen, first)


async def _people(scene: Stage) -> _Talk:
    opener = private_key.keyring_opener(scene.sidecar.keys.sessions.keyring)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(2) as threads:
        making: list[Awaitable[tuple[PublicKey, str]]] = [
            loop.run_in_executor(threads, private_key.generate, USUAL[use], opener)
            for _, use in _PAIRS
        ]
        made = await asyncio.gather(*making)
    people, _ = scene.sidecar.keys.end_to_end.participants()
    for (who, _), (public, sealed) in zip(_PAIRS, made, strict=True):
        key = ParticipantKey(public, "laptop", int(time.time()), private=sealed)
        await people.change(who, _adding(key))
    return _Talk(scene, dict(zip(_PAIRS, made, strict=True)), opener)


def _adding(key: ParticipantKey) -> Callable[..., Any]:
    return lambda participant: participant.add(key)


async def _one_message(talk: _Talk, screen: Screen) -> str:
    token = await talk.send(MESSAGE, "ada", "grace")
    by_grace = await talk.by_themselves("grace", token)
    by_mallory = await talk.by_themselves("mallory", token)
    screen.side_by_side(
        {
            "the backend holds": token,
            "Grace, with joserfc and her key": by_grace or "nothing",
            "Mallory, with joserfc and his": by_mallory or "nothing",
        }
    )
    screen.claim(by_grace == MESSAGE, "the recipient opens it with her own key, without Sealyard")
    screen.claim(by_mallory is None, "the outsider cannot open it")
    screen.claim(await talk.read("grace") == [MESSAGE], "Grace's Sealyard opens it for her")
    screen.claim(await talk.read("mallory") == [token], "for Mallory it stays sealed")
    places = await talk.scene.places()
    screen.claim(
        not any(MESSAGE.encode() in content for content in places.values()),
        "the backend, the log and the store do not contain the message",
    )
    return token


async def _changes(talk: _Talk, screen: Screen, first: str) -> None:
    """A rotation, the removal of a participant, and a key that was revoked."""
    await session_control.rotate(talk.scene.sidecar.keys.sessions, _PLACE)
    second = await talk.send("After the rotation", "ada", "grace")
    screen.claim(_session(first) != _session(second), "a rotation makes a new session key")
    screen.claim(
        await talk.read("grace") == [MESSAGE, "After the rotation"], "and Grace still reads both"
    )
    third = await talk.send("Without Grace", "ada")
    read = await talk.read("grace")
    screen.claim(
        _session(second) != _session(third),
        "without Grace as a recipient, a new key is made at once",
    )
    screen.claim(read[-1] == third, "Grace does not get that key")
    screen.claim(
        await talk.by_themselves("grace", third) is None,
        "she cannot open it without Sealyard either",
    )
    kid, now = talk.keys["grace", "enc"][0].kid, int(time.time())
    people, _ = talk.scene.sidecar.keys.end_to_end.participants()
    await people.change("grace", lambda grace: grace.revoke(kid, "laptop lost", now))
    before = len(talk.scene.backend.rows)
    answer = await talk.scene.post(
        json.dumps(
            {"conversationId": "private", "from": "ada", "to": ["grace"], "content": MESSAGE}
        ).encode()
    )
    screen.refusal(answer.status, answer.body)
    screen.claim(
        answer.code == "key-unavailable" and len(talk.scene.backend.rows) == before,
        "nothing is sealed for a revoked key, and nothing is forwarded",
    )


def _opened(
    package: Any,  # noqa: ANN401 - JSON, in joserfc's own form
    mine: dict[str, Any],
    sender: dict[str, Any],
    token: str,
) -> str | None:
    """Open the package as any program with a JOSE library would, without Sealyard's code."""
    only: dict[str, Any] = {
        "algorithms": ["RSA-OAEP-256", "A256GCM"],
        "verify_all_recipients": False,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc prefers a newer name for EdDSA
            inner = jwe.decrypt_json(
                package, RSAKey.import_key(mine), registry=jwe.JWERegistry(**only)
            ).plaintext
            signed = jws.deserialize_compact(
                inner or b"", OKPKey.import_key(sender), algorithms=["EdDSA"]
            )
        session = json.loads(signed.payload)["jwk"]
        anything = jwe.JWERegistry(algorithms=["dir", "A256GCM"], strict_check_header=False)
        opened = jwe.decrypt_compact(token, OctKey.import_key(session), registry=anything)
    except (JoseError, ValueError):
        return None
    return (opened.plaintext or b"").decode()


def _session(token: str) -> str:
    return token.partition(".")[0]

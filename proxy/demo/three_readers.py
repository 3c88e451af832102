"""The chapter on verified callers: a nurse, a billing clerk and a stranger read the same list."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from ..core.crypto.context import Scope
from ..core.crypto.derivation import audit_key
from ..keys.audit import verification
from ..keys.audit.line import ATTEMPTED
from ..keys.audit.opened import Question
from .screen import Screen, pretty, search
from .stage import Stage, stage

RULES: Final = """\
    callers:
      - {{name: nurse, jwt: {{{issuer}, claims: {{roles: nurse}}}}}}
      - {{name: billing, jwt: {{{issuer}, claims: {{roles: billing}}}}}}
    defaults:
      tenant: const:clinic
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request: {{encrypt: $.content, plain: $.from}}
      - name: list
        match: GET /api/conversations/{{id}}/messages
        conversation: path:id
        response:
          decrypt:
            - select: $.messages.*.content
              for: {{nurse: value, billing: {{mask: end}}}}
              otherwise: refuse
masks: {{end: {{keep: {{last: 4}}}}}}
audit: {{file: audit.log, opens: all}}
"""
_ISSUER: Final = "https://id.clinic.example"
_SETTINGS: Final = f"issuer: {_ISSUER}, audience: chat, algorithms: [ES256], jwks: {{file: %s}}"
CARD: Final = "Card on file: 4929 1234 5678 9017"
_SECONDS: Final = 5.0


async def play(folder: Path, screen: Screen, *, rules: str = RULES) -> None:
    """Play the chapter on a stage of its own, with an issuer of tokens."""
    screen.chapter(
        "10. Three readers",
        "A nurse, a billing clerk and a stranger request the same list. Two of them show a token of"
        " the clinic's issuer; the stranger has none. Rules say who gets what.",
    )
    key = ECKey.generate_key("P-256", {"kid": "clinic"})
    jwks = await asyncio.to_thread(_publish, key, folder)
    settings = rules.format(issuer=_SETTINGS % jwks)
    async with stage(folder / "stage", rules=settings) as scene:
        await scene.send("ward-7", CARD)
        got = {
            who: await scene.read("ward-7", token=_token(key, role))
            for who, role in (("the nurse", "nurse"), ("the clerk", "billing"), ("a stranger", ""))
        }
        screen.side_by_side({f"{who} gets": pretty(one.json) for who, one in got.items()})
        nurse, clerk = (_content(got[who].json) for who in ("the nurse", "the clerk"))
        screen.claim(nurse == CARD, "the nurse gets the value")
        masked = (
            clerk != CARD and clerk[-4:] == CARD[-4:] and search(CARD, {"": clerk.encode()}) == []
        )
        screen.claim(masked, "the clerk gets a mask that ends like it")
        refused = got["a stranger"].code == "caller-may-not-open"
        screen.claim(refused, "the stranger is refused")
        await _show_log(scene, screen)


async def _show_log(scene: Stage, screen: Screen) -> None:
    screen.write("Who has read ward-7, by `sealyard audit show`:")
    keyring = scene.sidecar.keys.sessions.keyring
    log, lines_key = scene.folder / "audit.log", audit_key(keyring.record_key)
    about = Question(ATTEMPTED, keyring.names_of(Scope("clinic", "ward-7")))
    deadline = time.monotonic() + _SECONDS
    while True:
        found, verdict = verification.select((log,), lines_key, about)
        told = [{**line.members, **about.delivered(line)} for line in found]
        if all(one["delivered"] == "whole" for one in told) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    for one in told:
        screen.quote(f"{one['at']}  {one['caller']:8}  {', '.join(one['fields'])}")
    outcomes = [(one["caller"], one["fields"], one["delivered"]) for one in told]
    expected = [
        ("nurse", ["content:value:1"], "whole"),
        ("billing", ["content:mask:1"], "whole"),
    ]
    screen.claim(outcomes == expected, "the audit log says who got what, and that it was delivered")
    screen.claim(not verdict.broken, "its chain is intact")
    text = {"the audit log": log.read_bytes()}
    screen.claim(not search(CARD, text), "and it has nothing of the value")


def _publish(key: ECKey, folder: Path) -> Path:
    folder.mkdir(parents=True)
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return jwks


def _token(key: ECKey, role: str) -> str:
    if not role:
        return ""
    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": "chat", "sub": f"a {role}", "roles": [role], "exp": now + 300}
    return jwt.encode({"alg": "ES256", "kid": "clinic"}, claims, key)


def _content(answer: Mapping[str, Any]) -> str:
    return str(answer.get("messages", [{}])[-1].get("content", ""))

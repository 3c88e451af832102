"""Why a token does not open, in words, and what to do about it."""

from __future__ import annotations

from itertools import combinations
from typing import Final

from ...core.crypto.context import Context, Scope
from ...keys.keyring.keyring import Keyring
from ...keys.operations import token_check
from .reasons import explained

_PARTS: Final = ("tenant", "conversation", "field", "message", "purpose", "kind")
"""What options name of a context."""
_IN_SCOPE: Final = (
    "tenant and conversation are right; give --field, --message and --purpose if the `bind` of the"
    " rule lists them, and only then"
)
_OTHER_SCOPE: Final = (
    "it was sealed for another --tenant or --conversation, or without one; `sealyard explain` shows"
    " what the rule binds"
)
_SHAPES: Final = {
    "not-a-token": "it does not begin like a token of Sealyard; give the whole stored value, or"
    " that of a file by `- <FILE`",
    "malformed-token": "its end or another part is missing; give the whole stored value",
}
"""Of a text that is no token, what the reader of a command can do about it."""


def in_words(keyring: Keyring, text: bytes, context: Context, reason: str, now: float) -> str:
    """Return what keeps a token from opening, by the reason of a refusal, and what to do.

    `now` is in seconds since 1970. Of a wrong context it says which options are too many, if that
    is all.
    """
    if reason == token_check.WRONG_CONTEXT:
        if more := _too_many(keyring, text, context, now):
            them = "it" if len(more) == 1 else "them"
            return f"it opens without {' and '.join(more)}; leave {them} out"
        verdict = token_check.verify(keyring, text, context, now=now)
        return _IN_SCOPE if verdict.in_scope else _OTHER_SCOPE
    if reason in _SHAPES:
        return _SHAPES[reason]
    known = explained("open-failed", reason)
    if known is None:
        return "`sealyard inspect TOKEN` shows what it says"
    return f"{known.cause} {known.remedy}".replace("`", "")


def _too_many(keyring: Keyring, text: bytes, context: Context, now: float) -> tuple[str, ...]:
    """Return the fewest options without which a token opens; none if it does not open so either."""
    given = _given(context)
    for number in range(1, len(given)):
        for left_out in combinations(given, number):
            if token_check.verify(keyring, text, _without(context, left_out), now=now).opens:
                return tuple(f"--{name}" for name in left_out)
    return ()


def _given(context: Context) -> list[str]:
    parts = {**context.scope._asdict(), **context._asdict()}
    return [name for name in _PARTS if parts[name] is not None]


def _without(context: Context, names: tuple[str, ...]) -> Context:
    def kept(part: tuple[str, ...]) -> dict[str, None]:
        return {name: None for name in names if name in part}

    scope = context.scope._replace(**kept(Scope._fields))
    return context._replace(scope=scope, **kept(Context._fields))

"""Tokens as selected values hold them, decoded before there is a key, with what binds them."""

from __future__ import annotations

from collections.abc import Callable

from .blueprint import Blueprint
from .context import Context
from .errors import MissingValue, OpenFailed
from .token import Token, decode, has_prefix


def bind_token(
    blueprint: Blueprint, token: Token | OpenFailed, make: Callable[[], Context]
) -> tuple[Token | OpenFailed, Context]:
    """Return a token with its context; what is no token needs no names, and none are looked for."""
    if isinstance(token, OpenFailed):
        return token, Context()
    try:
        return token, make()
    except MissingValue as error:
        if not blueprint.block.keep_unopened:
            raise
        return OpenFailed(error.reason), Context()


def decoded_token(text: bytes) -> Token | OpenFailed:
    """Return the token that a text is, or the error that decoding met."""
    try:
        return decode(text)
    except OpenFailed as error:
        return error


def token_or_none(text: bytes) -> Token | None:
    """Return the token that a text is, if it is one."""
    if not has_prefix(text):
        return None
    token = decoded_token(text)
    return token if isinstance(token, Token) else None

"""Tokens as selected values hold them, decoded before there is a key, with what binds them."""

from __future__ import annotations

from collections.abc import Callable

from .blueprint import Blueprint
from .context import Context
from .errors import MissingValue, OpenFailed
from .token import Token


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

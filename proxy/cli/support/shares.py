"""Shares at a terminal: shown one at a time when they are made, typed when they are needed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import click

from ...core.errors import KeyringError
from ...keys.keyring.roots import RootProvider, Roots
from ..policy import SHARE_CHARS
from . import console
from .console import utc

if TYPE_CHECKING:
    from ...keys.keyring.roots.shares import ShareCount, SharesRoot
    from ...keys.keyring.share import KeyringShare

_CHARS: Final = 100
"""Of a share, without what separates its groups."""


def at_terminal(roots: Roots) -> Roots:
    """Return the roots, of which shares are shown and typed at this terminal."""
    return replace(roots, listed=tuple(map(_at_terminal, roots.listed)))


def _at_terminal(root: RootProvider) -> RootProvider:
    if root.kind != "shares":
        return root
    return replace(cast("SharesRoot", root), made=_show, ask=_ask)


def _show(shares: tuple[KeyringShare, ...]) -> None:
    """Print the shares to stdout: on a terminal one after the other, else a page each."""
    for one in shares:
        click.clear()
        place = f"share {one.index} of {len(shares)}"
        click.echo(f"{place}; {one.needed} open the keyring; made {utc(one.split)}\n")
        click.echo("\n".join(f"    {line}" for line in one.text().splitlines()))
        if sys.stdout.isatty():
            done = "\nThis is for one operator. Press Enter when it is written down"
            click.prompt(done, default="", show_default=False, err=True)
            click.clear()
        elif one is not shares[-1]:
            click.echo("\f", nl=False)


def _ask(progress: ShareCount) -> str:
    if not sys.stdin.isatty():
        raise KeyringError(f"{progress}: shares are typed at a terminal, and this is none")
    console.say(f"{progress} so far. Another operator's:")
    return typed()


def typed() -> str:
    """Return a share from stdin; on a terminal it is not shown, and may have several lines."""
    if not sys.stdin.isatty():
        return sys.stdin.read(SHARE_CHARS)
    text = ""
    while len("".join(text.split()).replace("-", "")) < _CHARS:
        line = click.prompt("share", default="", hide_input=True, show_default=False, err=True)
        if not line.strip():
            break
        text += f"{line}\n"
    return text

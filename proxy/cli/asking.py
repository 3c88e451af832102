"""Asking before what cannot be taken back: what depends on it is shown, and somebody says yes."""

from __future__ import annotations

import sys

import click

from . import base

yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


def ask(*shown: str) -> None:
    """Show what is about to be done and what depends on it; return where it is meant.

    Raises a usage error where nobody is there to be asked, Failure where the answer is no.
    """
    for line in shown:
        base.say(line)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("nobody is at a terminal to be asked whether to do it: give --yes")
    if not click.confirm("Do it?", default=False, err=True):
        raise base.Failure("nothing was done", base.NEGATIVE)

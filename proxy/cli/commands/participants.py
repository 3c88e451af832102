"""The `participants` commands: keys of the parties to end-to-end sealing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ...keys.operations.participant_verbs import PARTICIPANTS
from ..policy import ExitCode
from ..support.verb_commands import Showing, VerbOutcome, add_commands


@click.group()
def participants() -> None:
    """Add, accept, rotate, revoke and list the keys of participants.

    \b
    sealyard participants add alice --device phone
    sealyard participants jwks alice

    The keys are in the configured store, which must be shared: sqlite: or redis:.
    Put -- before a key id that begins with a dash.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


def _row(facts: Mapping[str, Any]) -> str:
    """Return a key of a participant, as a line for a person."""
    reason = f"  {facts['reason']}" if "reason" in facts else ""
    new = "  NOT ACCEPTED" if facts.get("accepted") is False else ""
    about = f"{facts['kid']}  {facts['use']}  {facts['status']:<8}  {facts['device']}"
    return f"{about}{new}{reason}"


def _valid(outcome: VerbOutcome) -> bool:
    return bool(outcome.answer["has_valid_keys"])


add_commands(
    participants,
    PARTICIPANTS,
    list=Showing(lambda one: list(map(_row, one.answer["keys"]))),
    has_valid_keys=Showing(
        lambda one: ["yes" if _valid(one) else "no"],
        lambda one: ExitCode.OK if _valid(one) else ExitCode.NEGATIVE,
    ),
)

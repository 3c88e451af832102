"""`sealyard observed`: what rules in mode `observe` would have done so far."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click

from ..support import console
from ..support.admin_client import AdminListener, ca_option, token_file_option
from ..support.configuration import config_option

_TRIALS: Final = "sealyard_trials_total"
_VALUES: Final = "sealyard_trial_values_total"
_UNCOVERED: Final = "sealyard_uncovered_messages_total"


class _Counted(NamedTuple):
    """The counts of one process or of all workers together: labels and numbers."""

    trials: tuple[tuple[dict[str, str], int], ...]
    values: tuple[tuple[dict[str, str], int], ...]
    uncovered: tuple[tuple[dict[str, str], int], ...]


@click.command()
@config_option
@token_file_option
@ca_option
@console.as_json
def observed(
    *, config: Path | None, token_file: Path | None, ca: Path | None, as_json: bool
) -> None:
    """Report what rules in mode `observe` would have done since the start.

    \b
    sealyard observed
    sealyard observed --json

    For each rule: how many messages it would have changed, left unchanged or refused, and why, and
    how many values it would have sealed or opened. Then the messages that no rule covers, by the
    shape of their path and the media types of their bodies. Calls the admin listener of the
    configuration. Exits with 1 if a message would have been refused or is not covered.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    text = asyncio.run(_metrics(AdminListener(config, token_file, ca)))
    counted = _Counted(*(tuple(_samples(text, name)) for name in (_TRIALS, _VALUES, _UNCOVERED)))
    if as_json:
        click.echo(json.dumps(_document(counted)))
    else:
        click.echo("\n".join(_lines(counted)))
    refused = any(_refuses(labels) for labels, _ in counted.trials)
    if refused or counted.uncovered:
        raise click.exceptions.Exit(console.NEGATIVE)


async def _metrics(admin: AdminListener) -> str:
    async with admin.get("/metrics") as answer:
        return await answer.text()


def _samples(text: str, wanted: str) -> Iterator[tuple[dict[str, str], int]]:
    from prometheus_client.parser import (  # noqa: PLC0415 - for this command alone
        text_string_to_metric_families,
    )

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == wanted:
                yield dict(sample.labels), int(sample.value)


def _refuses(labels: dict[str, str]) -> bool:
    return labels["outcome"] not in {"changed", "unchanged"}


def _document(counted: _Counted) -> dict[str, object]:
    """Return the report for JSON: each sample of a metric with its number."""
    return {
        "messages": [{**labels, "number": number} for labels, number in counted.trials],
        "values": [{**labels, "number": number} for labels, number in counted.values],
        "uncovered": [{**labels, "number": number} for labels, number in counted.uncovered],
    }


def _lines(counted: _Counted) -> Iterator[str]:
    if not any(counted):
        yield "Nothing observed: no rule has `mode: observe`, or there were no messages."
        return
    for rule in sorted({(one["listener"], one["rule"]) for one, _ in counted.trials}):
        yield f"{rule[0]} / {rule[1]}"
        for direction in ("request", "response"):
            parts = list(_parts(counted, rule, direction))
            if parts:
                yield f"  {direction + 's:':<11}{', '.join(parts)}"
    if counted.uncovered:
        yield "Not covered by any rule:"
    for labels, number in sorted(counted.uncovered, key=lambda row: -row[1]):
        yield (
            f"  {number:>8}  {labels['method']} {labels['shape']}"
            f"  ({labels['request_type']} -> {labels['response_type']}, {labels['listener']})"
        )


def _parts(counted: _Counted, rule: tuple[str, str], direction: str) -> Iterator[str]:
    def mine(
        rows: Iterable[tuple[dict[str, str], int]],
    ) -> Iterator[tuple[dict[str, str], int]]:
        wanted = (*rule, direction)
        return (
            (labels, number)
            for labels, number in rows
            if (labels["listener"], labels["rule"], labels["direction"]) == wanted
        )

    for labels, number in mine(counted.trials):
        outcome = labels["outcome"]
        yield f"{number} {f'refused: {outcome}' if _refuses(labels) else outcome}"
    for labels, number in mine(counted.values):
        yield f"{number} values {labels['outcome'].replace('_', ' ')}"

"""`sealyard validate`: all errors of a configuration at once, without side effects."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ...config.settings import Loaded
from ...core.errors import ConfigurationError
from ...process.fitness import Finding
from ..policy import ExitCode
from ..support import console
from ..support.configuration import config_option, load_configuration


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option(
    "--files",
    is_flag=True,
    help="Also check files, secrets, certificates and addresses, here and now, as `doctor` does.",
)
@console.as_json
def validate(config: Path | None, *, strict: bool, files: bool, as_json: bool) -> None:
    """Check a configuration. Connects to nothing, opens no key, changes nothing.

    \b
    sealyard validate --config sealyard.yaml
    sealyard validate --strict --files --json

    Plays usual answers of a backend for each rule, such as a refusal or a row that was never
    sealed, and tells which would end in 502 (`played:`). That is no error: it may be meant.

    Without --files it reads the configuration alone, so that it runs where there are no keys and
    no certificates, as in CI: there the machine may still lack what `serve` needs. Prints one error
    per line to stdout: file:line:column path message. Exits with 1 if there are any.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    problems: tuple[str, ...] = ()
    plays: list[str] = []
    warnings: tuple[str, ...] = ()
    try:
        loaded = load_configuration(config)
        warnings = loaded.warnings
        plays = _played(loaded)
        if files:
            found = _unmet(loaded)
            problems = tuple(_line(one) for one in found if one.verdict == "failed")
            warnings += tuple(_line(one) for one in found if one.verdict == "warning")
    except ConfigurationError as error:
        problems = error.problems
    valid = not problems and not (strict and warnings)
    if as_json:
        document = {
            "valid": valid,
            "problems": list(problems),
            "warnings": list(warnings),
            "plays": plays,
        }
        console.print_json(document)
    else:
        for problem in problems:
            click.echo(console.printable(problem))
        for warning in warnings:
            click.echo(f"warning: {console.printable(warning)}")
        for one in plays:
            click.echo(f"played: {console.printable(one)}")
        console.say("The configuration is valid." if valid else "The configuration is not valid.")
    sys.exit(ExitCode.OK if valid else ExitCode.NEGATIVE)


def _played(loaded: Loaded) -> list[str]:
    """Return which usual answers of backends would end in 5xx."""
    from ...explaining.plays import played  # noqa: PLC0415 - not where a file is wrong

    return [one for listener in loaded.settings.listeners for one in played(listener)]


def _unmet(loaded: Loaded) -> list[Finding]:
    """Return what `serve` would lack here of files, secrets, certificates and addresses."""
    from ..support.serve_needs import Doctor  # noqa: PLC0415 - for this option alone

    doctor = Doctor(loaded, os.environ)
    return [*doctor.secrets(), *doctor.files(), *doctor.addresses()]


def _line(one: Finding) -> str:
    return f"{one.place} {one.text}" + (f"; try `{one.mend}`" if one.mend else "")

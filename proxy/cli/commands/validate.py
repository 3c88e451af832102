"""`sealyard validate`: all errors of a configuration at once, without side effects."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ...core.errors import ConfigurationError
from ..support import console
from ..support.configuration import config_option, load_configuration


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@console.as_json
def validate(config: Path | None, *, strict: bool, as_json: bool) -> None:
    """Check a configuration. Connects to nothing, opens no key, changes nothing.

    \b
    sealyard validate --config sealyard.yaml
    sealyard validate --strict --json

    Prints one error per line to stdout: file:line:column path message. Exits with 1 if there are
    any.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    try:
        warnings = load_configuration(config).warnings
    except ConfigurationError as error:
        problems = error.problems
    valid = not problems and not (strict and warnings)
    if as_json:
        document = {"valid": valid, "problems": list(problems), "warnings": list(warnings)}
        console.print_json(document)
    else:
        for problem in problems:
            click.echo(console.printable(problem))
        for warning in warnings:
            click.echo(f"warning: {console.printable(warning)}")
        console.say("The configuration is valid." if valid else "The configuration is not valid.")
    sys.exit(console.OK if valid else console.NEGATIVE)

"""`sealyard validate`: every mistake of a configuration at once, without effects."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ...core.errors import ConfigurationError
from ..support import console
from ..support.configuration import config_option, load_configuration


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Let warnings count as mistakes.")
@console.as_json
def validate(config: Path | None, *, strict: bool, as_json: bool) -> None:
    """Check a configuration. Connects to nothing, opens no key, changes nothing.

    \b
    sealyard validate --config sealyard.yaml
    sealyard validate --strict --json

    Mistakes go to stdout, one a line: file:line:column path message. Ends with 1 when there are
    any.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
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

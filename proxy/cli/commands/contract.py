"""`sealyard contract`: rules from an OpenAPI description that marks values, and their drift."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final, cast

import click

from ...config.load import parse, place_of
from ...config.settings import ListenerSettings, Loaded
from ...core.crypto.token import ASSUMED_KEK_ID
from ...core.errors import ConfigurationError
from ...description import rules
from ...description.blocks import Sealed
from ...description.document import Documents, Mistakes
from ...description.operations import DescribedOperation, Description, OperationReader
from ...description.schemas import SchemaReader
from ...explaining import trial
from ..policy import ExitCode
from ..support import console
from ..support.configuration import config_option, listener_named, load_configuration
from ..support.console import FILE
from ..support.contract import Contract, Difference
from ..support.reports import Reported, format_option, report

_SEALED: Final = ("requests", "responses")
_LISTEN: Final = "127.0.0.1:8080"
_UPSTREAM: Final = "http://127.0.0.1:3000"

_described = click.argument("description", metavar="OPENAPI", type=FILE)
_base_option = click.option(
    "--base", metavar="PATH", help="What paths begin with, in place of the description's servers."
)
_seal_option = click.option(
    "--seal",
    "sealed",
    type=click.Choice(_SEALED),
    default="requests",
    show_default=True,
    help="Where values are sealed; in the other messages they are opened.",
)


@click.group()
def contract() -> None:
    """Make rules from an OpenAPI description that marks values, and find their drift.

    \b
    sealyard contract make openapi.yaml > sealyard.yaml
    sealyard contract check openapi.yaml --config sealyard.yaml

    A value is marked by `x-sensitive-data` beside its `type`. OpenAPI 3.0 and 3.1, YAML or JSON.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


@contract.command()
@_described
@_base_option
@_seal_option
@click.option("--listen", default=_LISTEN, show_default=True, metavar="HOST:PORT")
@click.option("--upstream", default=_UPSTREAM, show_default=True, metavar="URL")
@click.option(
    "--unmatched",
    type=click.Choice(("reject", "pass")),
    default="reject",
    show_default=True,
    help="What happens to requests that the description does not have.",
)
def make(  # noqa: PLR0913 - each is one option
    description: Path,
    *,
    base: str | None,
    sealed: str,
    listen: str,
    upstream: str,
    unmatched: str,
) -> None:
    """Print a configuration with a rule for each operation that has marked values.

    \b
    sealyard contract make openapi.yaml > sealyard.yaml
    sealyard contract make openapi.json --base /v2 --upstream http://127.0.0.1:8888

    Each rule is tried with messages that are valid for the description. What no rule can express
    is an error with its place, and nothing is printed. Exits with 1 then.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    read = _Read(description, base)
    wanted = rules.ConfigurationFrame(
        description.name, listen, upstream, cast("Sealed", sealed), unmatched == "pass"
    )
    made = rules.make(read.description, read.reader, wanted, read.mistakes)
    if not read.mistakes:
        read.try_out(made, wanted.sealed)
    if read.mistakes:
        for line in read.mistakes.lines():
            console.say(line)
        console.say("Nothing was made.")
        sys.exit(ExitCode.NEGATIVE)
    for note in read.description.notes:
        console.say(f"note: {note}")
    click.echo(made.text, nl=False)


@contract.command()
@_described
@config_option
@click.option("--listener", metavar="NAME", help="Needed if the configuration has several.")
@_base_option
@_seal_option
@format_option("the lines in the description")
def check(  # noqa: PLR0913 - each is one option
    description: Path,
    *,
    config: Path | None,
    listener: str | None,
    base: str | None,
    sealed: str,
    output: str,
) -> None:
    """Compare a configuration with a description, and name what differs.

    \b
    sealyard contract check openapi.yaml
    sealyard contract check openapi.yaml --format junit > report.xml

    Messages that are valid for the description take the code path of `serve`. It finds marked
    values that no rule seals or opens, values that are changed without a mark, valid messages that
    are refused, and rules and selectors for which the description has no message. Exits with 1 if
    there is any of it.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    loaded = load_configuration(config)
    chosen = listener_named(loaded.settings, listener)
    read = _Read(description, base)
    compared = read.compared(loaded, chosen, cast("Sealed", sealed))
    read.mistakes.raise_if_any()
    reported = [
        one
        for operation, found in compared.items()
        for one in _reported(operation, found, loaded, chosen)
    ]
    for line in report(output, str(description), reported):
        click.echo(console.printable(line))
    sys.exit(ExitCode.NEGATIVE if any(one.faults for one in reported) else ExitCode.OK)


class _Read:
    """A description that has been read; raises DescriptionError where it is none."""

    def __init__(self, file: Path, base: str | None) -> None:
        self.mistakes = Mistakes()
        documents = Documents(self.mistakes)
        root = documents.root(str(file))
        self.mistakes.raise_if_any()
        assert root is not None  # noqa: S101 - else there is a mistake
        self.reader = SchemaReader(documents, self.mistakes, root)
        self.description: Description = OperationReader(documents, self.mistakes).read(root, base)
        self.mistakes.raise_if_any()

    def try_out(self, made: rules.Made, sealed: Sealed) -> None:
        """Report where the rules that were made do not do what the description says."""
        try:
            loaded = parse(made.text, Path("sealyard.yaml"), {})
        except ConfigurationError as error:
            for operation, problem in rules.problems_of(made, error.problems):
                self.mistakes.add(operation.spot, f"{operation.name}: {problem}")
            return
        for found in self.compared(loaded, loaded.settings.listeners[0], sealed).values():
            for one in found:
                if one.spot is not None:
                    self.mistakes.add(one.spot, f"{one.name}: {one.text}")

    def compared(
        self, loaded: Loaded, listener: ListenerSettings, sealed: Sealed
    ) -> dict[DescribedOperation | None, list[Difference]]:
        """Return what differs, by operations; None: what is of no operation."""
        kek_id = None if loaded.settings.keys.sessions.mode == "ephemeral" else ASSUMED_KEK_ID
        keys = trial.TrialKeys(trial.clock, kek_id=kek_id)
        compared = Contract(listener, keys, self.reader, self.mistakes, sealed)
        with asyncio.Runner() as runner:
            found: dict[DescribedOperation | None, list[Difference]] = {None: []}
            found.update(runner.run(compared.findings(self.description)).items())
            found[None] += runner.run(compared.rule_findings())
        return found


def _reported(
    operation: DescribedOperation | None,
    found: list[Difference],
    loaded: Loaded,
    listener: ListenerSettings,
) -> list[Reported]:
    """Return what was checked: an operation where nothing differs, or each thing that does."""
    if operation is not None and not found:
        return [Reported(operation.name, operation.spot.file, operation.spot.line)]
    made = []
    for one in found:
        if one.spot is not None:
            made.append(Reported(one.name, one.spot.file, one.spot.line, (one.text,)))
            continue
        place = place_of(loaded.file, {}, ("listeners", listener.name, "rules", one.name))
        file, line, _ = place.rsplit(":", 2)
        made.append(Reported(f"rule {one.name}", file, int(line), (one.text,)))
    return made

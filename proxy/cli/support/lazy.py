"""A click group that lists its commands from a table and imports each only when it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from ..policy import LIKE
from .console import translated


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """The module that holds a command, and its summary in the list.

    One that is not `listed` is for a machine, such as the chart: the reference has it.
    """

    module: str
    summary: str
    listed: bool = True


class LazyGroup(click.Group):
    """A group of commands in modules; a command is the module's attribute of the same name.

    A hyphen of the name is a `_` of the attribute.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's own arguments, passed on
        places: Mapping[str, Mapping[str, CommandPlace]],
        package: str,
        **kwargs: Any,  # noqa: ANN401 - see above
    ) -> None:
        """`places` are the commands by the heading under which they are listed."""
        super().__init__(*args, **kwargs)
        self.headings = places
        self.places = {name: one for each in places.values() for name, one in each.items()}
        self.package = package

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's own, passed on
        """Run the program under the group's name, also as `python -m sealyard`."""
        kwargs.setdefault("prog_name", self.name)
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands whose module exists, in the order of the table."""
        return [
            name
            for name, place in self.places.items()
            if find_spec(f"{self.package}.{place.module}") is not None
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now, or None if there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"{self.package}.{self.places[cmd_name].module}")
        command = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            message = f"{module.__name__}.{cmd_name} is not a click command"
            raise TypeError(message)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of a line; name the one that was probably meant if there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # noqa: PLC0415 - for mistakes alone

            near = get_close_matches(args[0], self.list_commands(ctx), n=1, cutoff=LIKE)
            meant = [f"'{one}'" for one in near or self.below(ctx, args[0])]
            hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
            raise click.UsageError(error.message + hint, ctx) from None

    def below(self, ctx: click.Context, word: str) -> list[str]:
        """Return the commands of groups that have a word as name, or else in their summary."""
        found = {
            f"{group.name} {name}": (command.help or "").partition("\n")[0].lower()
            for group in (self.get_command(ctx, name) for name in self.list_commands(ctx))
            if isinstance(group, click.Group)
            for name, command in group.commands.items()
        }
        named = [path for path in found if path.endswith(f" {word}")]
        return named or [path for path, says in found.items() if word in re.split(r"\W+", says)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists of commands without importing one, their columns alike."""
        there = self.list_commands(ctx)
        width = max(map(len, there))
        for heading, places in self.headings.items():
            listed = [(n, one) for n, one in places.items() if n in there and one.listed]
            rows = [(name.ljust(width), one.summary) for name, one in listed]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        """Run the command; an error becomes one line and an exit code."""
        with translated():
            return super().invoke(ctx)

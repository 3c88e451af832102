"""Write the reference pages that are made from the code: errors, events, metrics and commands.

`python -m proxy.cli.commands.reference docs/reference` writes them; `--check` only compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Final

import click

from ...admin.routes.table import api
from ...core.errors import MessageError, TrafficError, traffic_errors
from ...telemetry.logs.event_keys import ECS, OTEL
from ...telemetry.logs.events import EVENTS
from ...telemetry.metrics.table import METRICS
from .. import main
from ..support import console

_MADE: Final = "<!-- Made by `./dev docs` from the code: change it there. -->"


def errors_page() -> str:
    """Return the page of everything that a client of the traffic port can be told."""
    rows = [
        (
            str(error.status),
            f"`{error.code}`",
            error.title,
            error.cause,
            error.remedy,
            _on_response(error),
        )
        for error in traffic_errors()
    ]
    return _page(
        "Errors on the traffic port",
        "Sealyard answers in place of the backend only when it refuses a message itself. Such an"
        " answer is `application/problem+json` (RFC 9457) and carries the header"
        " `Sealyard-Error: <code>`; an answer without that header is the backend's own. `instance`"
        " holds the request id, under which the log tells the reason.",
        "The last column is the status when the fault lies in the backend's response; a dash means"
        " that the error does not come up there.",
        _table(("Status", "Code", "Title", "Cause", "What to do", "On a response"), rows),
    )


def events_page() -> str:
    """Return the page of everything that can stand in the log."""
    rows = [
        (
            f"`{event.name}`",
            event.level,
            event.meaning,
            ", ".join(f"`{OTEL.key(key)}`" for key in event.keys),
        )
        for event in EVENTS.values()
    ]
    renamed = [(f"`{OTEL.key(key)}`", f"`{name}`") for key, name in ECS.names.items()]
    return _page(
        "Log events",
        "Each line is one JSON object on stderr with `at` (UTC), `level`, `event` and the event's"
        " keys; keys without a value are left out. Nothing else is ever written: a key that is not"
        " in this table is left out and counted in `dropped`, text is cut at 256 characters, and"
        " texts of libraries and exceptions are withheld. What looks like a secret (by its name, or"
        " because it looks random) is written as `<hidden>`.",
        "With a dot are the names of OpenTelemetry's semantic conventions. `--log-format ecs`"
        " writes the same lines in the Elastic Common Schema, by the second table;"
        " `--log-format console` writes them for people.",
        _table(("Event", "Level", "Meaning", "Keys"), rows),
        "## Names in `ecs`",
        "`at` is `@timestamp`, `level` is `log.level`, `event` is both `event.action` and"
        " `message`; `event.duration` is in nanoseconds. Every key that is not here keeps its plain"
        f" name below `{ECS.prefix}`.",
        _table(("Key in `json`", "Key in `ecs`"), renamed),
    )


def metrics_page() -> str:
    """Return the page of everything that is counted."""
    rows = [
        (
            f"`{metric.name}`",
            metric.kind if metric.kind in {"counter", "histogram"} else "gauge",
            ", ".join(f"`{label}`" for label in metric.labels) or "-",
            metric.meaning,
        )
        for metric in METRICS.values()
    ]
    return _page(
        "Metrics",
        "`/metrics` on the admin and health listeners: in OpenMetrics 1.0 for scrapers whose Accept"
        " header prefers it, as Prometheus' does, and in Prometheus' text format (0.0.4) for all"
        " others. In OpenMetrics, the buckets of histograms have the `trace_id` of a message as"
        " exemplar, where messages are traced. Labels are names of the configuration, codes and"
        " reasons, never anything of a message. With several workers the numbers are those of all"
        " together: counters and histograms go on when a worker is replaced (of one that was"
        " killed, up to a second's counts are lost), gauges are those of the workers that run.",
        _table(("Metric", "Kind", "Labels", "Meaning"), rows),
    )


def commands_page() -> str:
    """Return the page of all commands, groups before their members."""
    sections = [
        _section(command, context)
        for command, context in _walk(main, click.Context(main, info_name=main.name))
    ]
    return _page(
        "Commands",
        "Results go to stdout, talk goes to stderr. Exit codes: 0 done, 1 the answer is no,"
        " 2 wrong usage, 3 the environment (files, keys, the machine) does not allow it."
        " `python -m proxy` is the same program.",
        *sections,
    )


def openapi_page() -> str:
    """Return the OpenAPI document of the admin API."""
    return json.dumps(api(), indent=2, ensure_ascii=False) + "\n"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "errors.md": errors_page,
    "events.md": events_page,
    "metrics.md": metrics_page,
    "commands.md": commands_page,
    "openapi.json": openapi_page,
}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if a page is not current.")
def reference(folder: Path, *, check: bool) -> None:
    """Write the reference pages into FOLDER.

    \b
    python -m proxy.cli.commands.reference docs/reference
    python -m proxy.cli.commands.reference docs/reference --check
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    stale = [name for name in PAGES if stale_page(folder, name)]
    for name in stale:
        console.say(f"{folder / name} {'is not current' if check else 'is written'}")
        if not check:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(PAGES[name](), encoding="utf-8")
    sys.exit(console.NEGATIVE if check and stale else console.OK)


def stale_page(folder: Path, name: str) -> bool:
    """Tell whether a page in the folder is not what the code says."""
    page = folder / name
    return not page.is_file() or page.read_text(encoding="utf-8") != PAGES[name]()


def _on_response(error: type[TrafficError]) -> str:
    return str(error.response_status) if issubclass(error, MessageError) else "-"


def _walk(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            if member is not None and not member.hidden:
                yield from _walk(member, click.Context(member, info_name=name, parent=context))


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    parts = [
        f"## {context.command_path}",
        f"```\n{usage}\n```",
        *_prose(cleandoc(command.help or "")),
    ]
    options = [
        (f"`{record[0]}`", record[1])
        for parameter in command.params
        if (record := parameter.get_help_record(context)) is not None
    ]
    if options:
        parts.append(_table(("Option", "Meaning"), options))
    return "\n\n".join(parts)


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f"```sh\n{paragraph[2:]}\n```"
        else:
            yield paragraph


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", _MADE, *parts)) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    reference()

"""The section of docs/explanation/bypass.md that holds a run's figures."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Final

from .campaign import Campaign

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "bypass.md"
TITLE: Final = "## Random messages"
COLUMNS: Final = ("messages", "refused", "sealed", "opened", "passed")
_READ_BY: Final = {
    "go": "Go: encoding/json bound to a struct and to a map, FormValue, PostFormValue",
    "php": "PHP: $_POST, $_FILES, $_REQUEST, json_decode, all of them merged; scripts behind nginx",
    "symfony": "Symfony: Request::get, getPayload, json_decode, query and payload merged",
    "rails": "Rails: params, request_parameters, wrapped parameters, JSON.parse",
    "flask": "Flask: get_json(force=True), form, values, CombinedMultiDict, query and body merged",
    "aiohttp": "aiohttp: JSON, post(), query and body merged either way, a model of .NET",
    "django": "Django: JSON, POST and FILES, all of them merged",
    "fastapi": "FastAPI: a model with aliases, JSON, form, all of them merged",
    "express": "Express: body-parser (lax), qs (extended), multer, merged either way",
    "tomcat": "Tomcat: getParameter, getParts, Jackson strict and lenient, Spring's binder",
}
_TEXT: Final = """\
## Random messages

The rows above are spellings that somebody thought of. `./dev fuzz-backends SECONDS` makes
others: it begins with messages as honest clients send them (JSON, forms, forms in parts,
records, whole bodies), does up to four things to each (another spelling of a ruled name, the
name in another place or twice, another type, coding or charset, a body that is two formats,
another path or method to the same handler, headers twice or taken away), and sends it through a
live sidecar, whose rules stand as the how-to pages write them, to each of these servers. Their
handlers report every ruled name as they read it, in each of these ways:

{read_by}

A *find* is a secret that a ruled handler read in plain, a value that was opened for another
conversation than the one that the handler read, a value sealed for another than the one under
which the handler would store it, an honest message that was refused, an error 500, no answer,
or a secret in the log.

{seconds:,.0f} seconds on {date} ({machine}; seed {seed}):

{table}

*Refused* are messages that Sealyard answered itself; *passed* those that reached a server where
nothing was sealed or opened, mostly because they met no handler there.

{early}
What was found once stands in `tests/fuzz_backends/cases` and is sent again in every run of the
tests. ASP.NET Core could not be had: what its documentation says of names is the reading that
is called a model.
"""
_EARLY: Final = (
    "Release 0.1.0 fails this within seconds (seed 7): event streams after 1.0 s, extensions\n"
    "after 1.6 s, forms that are JSON after 2.3 s, names in the query after 2.4 s, other\n"
    "spellings of names of sources after 4.5 s, script names after 4.6 s."
)


def table(campaign: Campaign) -> str:
    """Return the figures of a run as a table of Markdown."""
    lines = [
        "| server | " + " | ".join(COLUMNS) + " | finds |",
        "|---|" + "---:|" * (len(COLUMNS) + 1),
    ]
    totals = [0] * (len(COLUMNS) + 1)
    for backend in campaign.rig.backends:
        row = figures(campaign, backend.name)
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        shown = " | ".join(f"{one:,}" for one in row)
        lines.append(f"| {_READ_BY[backend.name].partition(':')[0]} | {shown} |")
    lines.append("| **together** | " + " | ".join(f"**{one:,}**" for one in totals) + " |")
    return "\n".join(lines)


def figures(campaign: Campaign, name: str) -> list[int]:
    """Return what is told of one backend: the columns, and how many finds."""
    backend = next(one for one in campaign.rig.backends if one.name == name)
    found = sum(find.backend == name for find in campaign.finds)
    return [*(backend.counts[one] for one in COLUMNS), found]


def section(campaign: Campaign) -> str:
    """Return the section for a run."""
    names = [backend.name for backend in campaign.rig.backends]
    return _TEXT.format(
        read_by="\n".join(f"* {_READ_BY[name]}" for name in names),
        seconds=campaign.seconds,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=f"{platform.machine()}, all of it on two busy cores",
        seed=campaign.seed,
        table=table(campaign),
        early=_EARLY,
    )


def kept(page: str) -> str:
    """Return the section of a page, or nothing."""
    _, mark, rest = page.partition(TITLE)
    return mark + rest


def write(text: str, path: Path = PAGE) -> None:
    """Put a section at the end of the page, in the place of the old one."""
    page = path.read_text().partition(TITLE)[0].rstrip()
    path.write_text(f"{page}\n\n{text}")

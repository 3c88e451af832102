"""The section of docs/explanation/bypass.md that holds a run's figures."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Final

from .campaign import Campaign

PAGE: Final = Path(__file__).parents[3] / "docs" / "explanation" / "bypass.md"
TITLE: Final = "## Random messages"
COLUMNS: Final = ("messages", "refused", "sealed", "opened", "passed")
_READ_BY: Final = {
    "go": "Go: encoding/json bound to a struct and to a map, FormValue, PostFormValue",
    "php": "PHP: $_POST, $_FILES, $_REQUEST, json_decode, all of them merged; scripts behind nginx",
    "symfony": "Symfony: Request::get, getPayload, json_decode, query and payload merged",
    "laravel": "Laravel: Request::input, all, post, json, and a model that is filled",
    "rails": "Rails: params, request_parameters, wrapped parameters, JSON.parse",
    "sinatra": "Sinatra: params, GET and POST, JSON.parse, JSON merged into params",
    "plack": "Plack: parameters, body_parameters, uploads, decode_json, all of them merged",
    "echo": "Echo: Bind to a struct of path, query and body, FormValue, FormFile",
    "cherrypy": "CherryPy: parameters of query and form together, JSON, both merged",
    "flask": "Flask: get_json(force=True), form, values, CombinedMultiDict, query and body merged",
    "aiohttp": "aiohttp: JSON, post(), query and body merged either way, a model of .NET",
    "django": "Django: JSON, POST and FILES, all of them merged",
    "fastapi": "FastAPI: a model with aliases, JSON, form, all of them merged",
    "express": "Express: body-parser (lax), qs (extended), multer, merged either way",
    "tomcat": "Tomcat: getParameter, getParts, Jackson strict and lenient",
    "spring": "Spring MVC: @ModelAttribute (setters, fields), @RequestBody, @RequestParam, parts",
}
_TEXT: Final = """\
## Random messages

The rows above are spellings that someone thought of. `./dev fuzz-backends SECONDS` generates
others. It begins with messages as legitimate clients send them (JSON, URL-encoded and multipart
forms, records, whole bodies) and applies up to four mutations to each: another spelling of a ruled
name, the name in another place or twice, another type, coding or charset, a body that is valid in
two formats, another path or method to the same handler, headers twice or removed. It sends them
to each of these servers through a live sidecar, whose rules are those of the how-to pages, under
`others: pass`, `refuse` or `seal`, as it draws. The handlers report every ruled name as they read
it, in each of these ways:

{read_by}

A *finding* is a secret that a ruled handler read in plaintext, a value that was opened for
another conversation than the handler read, a value sealed for another conversation than the one
under which the handler would store it, a legitimate message that was refused, an error 500, a
missing response, or a secret in the log.

{seconds:,.0f} seconds on {date} ({machine}; seed {seed}):

{table}

*Refused* are messages that Sealyard itself refused; *passed* are those that reached a server
without anything sealed or opened, mostly because no handler matched them.

{early}

Each finding is kept in `tests/fuzz_backends/cases` and sent again in every run of the tests.
ASP.NET Core was not available: what its documentation says about names is the reading that is
labelled a model.
"""
_EARLY: Final = (
    "Commit 854bb267 failed this test within seconds (seed 7): event streams after 1.0 s,\n"
    "extensions after 1.6 s, forms that are JSON after 2.3 s, names in the query after 2.4 s,\n"
    "other spellings of names of sources after 4.5 s, script names after 4.6 s."
)


def table(campaign: Campaign) -> str:
    """Return the figures of a run as a table of Markdown."""
    lines = [
        "| server | " + " | ".join(COLUMNS) + " | findings |",
        "|---|" + "---:|" * (len(COLUMNS) + 1),
    ]
    totals = [0] * (len(COLUMNS) + 1)
    for backend in campaign.rig.backends:
        row = figures(campaign, backend.name)
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        shown = " | ".join(f"{one:,}" for one in row)
        lines.append(f"| {_READ_BY[backend.name].partition(':')[0]} | {shown} |")
    lines.append("| **total** | " + " | ".join(f"**{one:,}**" for one in totals) + " |")
    return "\n".join(lines)


def figures(campaign: Campaign, name: str) -> list[int]:
    """Return the figures of one backend: the columns, and the number of findings."""
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
        machine=f"{platform.machine()}, everything on two busy cores",
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

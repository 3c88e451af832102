"""`python -m tests.acceptance.shapes.record [clients | backends]`: record what clients really send.

Clients of several languages and a browser send JSON, a form and files to a server that keeps them;
the client flow of tests/acceptance runs before its real backends, with the recorder between the
two. `./dev setup tests/acceptance` and `./dev packages` install all that is asked for here. What is
refused is written with its reason: read the difference before you commit it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import yaml

from tests.acceptance.compared import NODE, NODE_FOLDER, package_version
from tests.acceptance.conftest import ROOT
from tests.acceptance.flows import FLOWS
from tests.acceptance.shapes.recorder import Recorder, Sent, recording, scrubbed
from tests.browser.chromium import chromium

HERE: Final = Path(__file__).parent
RECORDED: Final = ROOT / "tests" / "traffic" / "shapes" / "recorded.yaml"
_CLIENTS: Final = HERE / "clients"
_NODE: Final = ROOT / "tests" / "acceptance" / "clients_node"
_PYTHON: Final = ROOT / ".venv-clients" / "bin" / "python"
_JARS: Final = "/usr/share/java/*"
_HEADING: Final = """\
# Requests as real clients sent them, each with the client and its version:
# `python -m tests.acceptance.shapes.record` writes this file. What lets a client in, ports, and
# long files are replaced; lengths are those of what stands here.
"""
_SECONDS: Final = 120.0
_SECRET: Final = re.compile(r"(?i)(authorization|cookie|x-xsrf-token)")
_FILE: Final = re.compile(rb"(?:canary ){3,}\x00\xff\r\n\x80")
_TICKET: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_JSON: Final = "Content-Type: application/json"
_MESSAGE: Final = '{"conversationId":"c1","content":"caf\u00e9 \\"q\\" \\\\ / <b> & \U0001f600"}'
RULES: Final[dict[str, Any]] = {
    "/api/messages": {
        "match": "POST /api/messages",
        "conversation": "$.conversationId",
        "request": {"encrypt": ["$.content"], "plain": ["$.{draft,n,replyTo,type}"]},
    },
    "/posts": {
        "match": "POST /posts",
        "conversation": "const:posts",
        "request": {"encrypt": ["form:content"], "others": "pass"},
    },
    "/upload": {
        "match": "POST /upload",
        "conversation": "const:u",
        "request": {"encrypt": ["part:file", "part:content"], "plain": ["part:title"]},
    },
}
"""The rule that a request is for, by its path."""


def said(*command: str) -> str:
    """Return the version that a program tells."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


def of_python(python: str, library: str) -> str:
    """Return the version of a library of Python."""
    return said(python, "-c", f"import {library}; print({library}.__version__)")


def calls(url: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Give each client with its version, and the commands that let it send."""
    for library in ("undici", "axios", "got", "superagent"):
        program = [NODE, str(_NODE / "shapes.mjs"), library, url]
        found = (
            said(NODE, "-p", "process.versions.undici")
            if library == "undici"
            else package_version(_NODE, library)
        )
        yield f"{library} {found}", [program]
    program = [str(_CLIENTS / "client.py")]
    for python, library in ((str(_PYTHON), "requests"), (str(_PYTHON), "httpx")):
        yield f"{library} {of_python(python, library)}", [[python, *program, library, url]]
    yield f"aiohttp {aiohttp.__version__}", [[sys.executable, *program, "aiohttp", url]]
    itself = f"http.client of Python {sys.version.split()[0]}"
    yield itself, [[sys.executable, *program, "http", url]]
    yield f"net/http of Go {said('go', 'version')}", [["go", "run", f"{_CLIENTS}/client.go", url]]
    yield f"streams of PHP {said('php', '-v')}", [["php", f"{_CLIENTS}/client.php", url]]
    yield f"Net::HTTP of Ruby {said('ruby', '-v')}", [["ruby", f"{_CLIENTS}/client.rb", url]]
    tiny = said("perl", "-MHTTP::Tiny", "-e", "print HTTP::Tiny->VERSION")
    yield f"HTTP::Tiny {tiny}", [["perl", f"{_CLIENTS}/client.pl", url]]
    java = ["java", "-cp", _JARS, f"{_CLIENTS}/Client.java", url]
    yield f"Java {said('java', '-version')}, Apache HttpClient and Jackson", [java]
    wget = ["wget", "-qO-", f"--post-data={_MESSAGE}", f"--header={_JSON}", f"{url}/api/messages"]
    yield f"wget {said('wget', '--version')}", [wget]
    yield f"curl {said('curl', '--version')}", list(of_curl(url))


def of_curl(url: str) -> Iterator[list[str]]:
    """Give the commands of curl."""
    curl = ["curl", "-s"]
    yield [*curl, "-H", _JSON, "-d", _MESSAGE, f"{url}/api/messages"]
    yield [*curl, "--json", _MESSAGE, f"{url}/api/messages"]
    yield [*curl, "-d", _MESSAGE, f"{url}/api/messages"]
    text = "caf\u00e9 100% & more"
    yield [*curl, "--data-urlencode", f"content={text}", "-d", "title=a+b", f"{url}/posts"]
    file = f'file=@{HERE / "recorder.py"};filename=gr\u00fc\u00dfe "a" b.txt;type=text/plain'
    yield [*curl, "-F", f"content={text}", "-F", "title=a b", "-F", file, f"{url}/upload"]


def by_programs() -> Iterator[tuple[str, list[Sent]]]:
    """Give what programs send."""
    with recording(Recorder()) as recorder, tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{recorder.port}"
        found = list(calls(url))
        compiled = Path(folder, "client.exe")
        library = "-r:System.Net.Http.dll"
        compiler = shutil.which("mcs") or "mcs"
        subprocess.run([compiler, library, f"-out:{compiled}", _CLIENTS / "Client.cs"], check=True)
        mono = f"HttpClient of Mono {said('mono', '--version')}"
        for name, commands in [*found, (mono, [["mono", str(compiled), url]])]:
            recorder.kept.clear()
            for command in commands:
                subprocess.run(
                    command, check=True, capture_output=True, cwd=folder, timeout=_SECONDS
                )
            yield name, list(recorder.kept)


async def by_pages() -> list[tuple[str, list[Sent]]]:
    """Return what pages in a browser send."""
    libraries = {
        "jquery": ("jQuery", "jquery", "jquery.js"),
        "axios": ("axios", "axios", "axios.js"),
        "htmx": ("htmx", "htmx.org", "htmx.js"),
    }
    pages = {"/": (_CLIENTS / "page.html").read_bytes()}
    for name, (_, package, file) in libraries.items():
        pages[f"/{name}.js"] = (_NODE / "node_modules" / package / "dist" / file).read_bytes()
    told = []
    with recording(Recorder(pages=pages)) as recorder:
        async with chromium() as page:
            browser = (await page.call("Browser.getVersion"))["product"].replace("/", " ")
            await page.open(f"http://127.0.0.1:{recorder.port}/")
            for way in ("fetch", "form", "axios", "jquery", "htmx", "beacon"):
                recorder.kept.clear()
                await page.value(f"ways[{way!r}]()")
                async with asyncio.timeout(_SECONDS):
                    while not any(one.method == "POST" for one in recorder.kept):  # noqa: ASYNC110 - of another thread
                        await asyncio.sleep(0.1)
                title, package, _ = libraries.get(way, (way, "", ""))
                library = f"{title} {package_version(_NODE, package)}" if package else title
                kept = [one for one in recorder.kept if one.method == "POST"]
                told.append((f"{library} in {browser}", kept))
    return told


def by_flows() -> Iterator[tuple[str, str, list[Sent]]]:
    """Give the example, the software and what its client sends, for each flow."""
    for example, flow in FLOWS.items():
        script = f"{example.removesuffix('.yaml').replace('-', '_')}.mjs"
        with (
            tempfile.TemporaryDirectory() as folder,
            flow.start(Path(folder)) as running,
            recording(Recorder(backend=running.port)) as recorder,
        ):
            url = f"http://127.0.0.1:{recorder.port}"
            command = [NODE, str(NODE_FOLDER / script), url, "canary"]
            subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
            client = f"client by undici {said(NODE, '-p', 'process.versions.undici')}"
            name = flow.software()
            software = name if "client" in name.lower() else f"{name}, {client}"
            yield example, software, list(recorder.kept)


# --- The file ------------------------------------------------------------------------------------


def written(client: str, sent: Sent) -> dict[str, Any]:
    """Return a request as the file has it; what lets a client in is not kept."""
    body = scrubbed(_TICKET.sub("recorded", _FILE.sub(b"canary", sent.body).decode()))
    headers = {name: scrubbed(value) for name, value in sent.headers}
    for name in headers:
        if _SECRET.fullmatch(name):
            headers[name] = "recorded"
        elif name.lower() == "content-length":
            headers[name] = str(len(body.encode()))
    kind = sent.header("content-type").partition(";")[0]
    name = f"{client}: {sent.method} {urlsplit(sent.target).path}{f' of {kind}' if kind else ''}"
    ask = f"{sent.method} {scrubbed(sent.target)}"
    return {"from": name, "ask": ask, "headers": headers, "body": body}


def shape(sent: Sent) -> object:
    """Return what makes a request another one than those before it: all but its values."""
    split = urlsplit(sent.target)
    query = tuple(one.partition("=")[0] for one in split.query.split("&"))
    names = tuple(sorted(name for name, _ in sent.headers))
    body = kind = sent.header("content-type").partition(";")[0]
    if kind == "application/json":
        body = re.sub(r'(?<=:)\s*("(?:[^"\\]|\\.)*"|[\d.]+)', "", sent.body.decode())
    return sent.method, re.sub(r"[\d-]{1,}[\w-]*", "1", split.path), query, names, body


def distinct(kept: list[Sent]) -> list[Sent]:
    """Return the requests without those that differ from one before them by their values alone."""
    return list({shape(one): one for one in reversed(kept)}.values())[::-1]


def numbered(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each request a name of its own."""
    seen: dict[str, int] = {}
    for one in requests:
        name = one["from"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            one["from"] = f"{name} ({seen[name]})"
    return requests


Outcome = Callable[[dict[str, Any], dict[str, Any]], dict[str, str]]
"""What is to be expected of a request of a group."""


def of_clients(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Give the groups of clients, with what is to be expected of each request."""
    found = [*by_programs(), *asyncio.run(by_pages())]
    for path, rule in RULES.items():
        every = [
            written(client, one)
            for client, kept in found
            for one in distinct([each for each in kept if each.target == path])
        ]
        group = {"rule": rule, "client": path == "/upload"}
        yield {**group, "requests": [one | outcome(group, one) for one in numbered(every)]}


def of_backends(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Give the groups of backends, as above."""
    for example, software, kept in by_flows():
        group = {"example": example}
        every = numbered([written(software, one) for one in distinct(kept)])
        yield {**group, "requests": [one | outcome(group, one) for one in every]}


class _Dumper(yaml.SafeDumper):
    """Writes bodies with their line ends as escapes."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if "\r" in value or "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def main(*wanted: str) -> None:
    """Record all of it, or only the `clients` or `backends` that are wanted."""
    from tests.traffic.test_shapes import expected  # noqa: PLC0415 - it reads the file

    found: list[dict[str, Any]] = []
    for name, record, key in (
        ("clients", of_clients, "rule"),
        ("backends", of_backends, "example"),
    ):
        kept = [one for one in yaml.safe_load(RECORDED.read_text("utf-8")) if key in one]
        found += record(expected) if name in (wanted or (name,)) else kept
    text = yaml.dump(found, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
    RECORDED.write_text(_HEADING + text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

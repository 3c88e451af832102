"""What opens inside of a page, in a real browser: nothing that somebody wrote runs there."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from proxy.core.crypto.context import Context
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.escaping import Escape
from proxy.core.rules.model import Names, Part, Rule
from tests.browser.chromium import MISSING, PROGRAM, Page, chromium
from tests.factories import SCOPE, a_block, a_response, a_rule, a_session, an_item, replied
from tests.servers import serving

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

BIND: tuple[Part, ...] = ("tenant", "conversation")
NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))
PLAIN = 'Tom & Jerry <3 "it\'s" 1 < 2 é'
FIRE = "top.fired.push(__N__)"

POSITIONS = {
    "text": "<p>{}</p>",
    "text beside text": "<p>Re: {}, yours</p>",
    "bare": "{}",
    "title": "<title>{}</title>",
    "textarea": "<textarea>{}</textarea>",
    "option": "<select><option>{}</option></select>",
    "table": "<table><tr><td>{}</td></tr></table>",
    "stray bracket": "<p>a < b {}</p>",
    "quoted attribute": '<input title="{}" value=x>',
    "attribute in single quotes": "<input value='{}'>",
    "alt": '<img alt="{}" src="">',
    "placeholder": '<input placeholder="{}" autofocus>',
    "bare attribute": "<input value={} autofocus>",
    "other attribute": '<div class="{}">x</div>',
    "name of an attribute": "<input {} autofocus>",
    "name of a tag": "<{} autofocus>x",
    "href": '<a href="{}">x</a>',
    "src": '<img src="{}">',
    "frame": '<iframe src="{}"></iframe>',
    "srcdoc": '<iframe srcdoc="{}"></iframe>',
    "formaction": '<form><button formaction="{}">x</button></form>',
    "handler": "<div onclick=\"f('{}')\">x</div>",
    "style": '<p style="color: {}">x</p>',
    "style sheet": "<style>p {{ color: {} }}</style><p>x</p>",
    "script": "<script>var x = '{}';</script>",
    "script in bare": "<script>{}</script>",
    "JSON in a script": '<script type="application/json">{{"a": "{}"}}</script>',
    "template in a script": "<script>`{}`</script>",
    "comment": "<!-- {} --><p>x</p>",
    "short comment": "<!--><p>{}</p>-->",
    "CDATA": "<![CDATA[{}]]>",
    "CDATA with a tag": "<![CDATA[<p>]]>{}",
    "noscript": "<noscript>{}</noscript>",
    "noscript with a quote": '<noscript><p title="</noscript>{}"></noscript>',
    "svg": "<svg><text>{}</text></svg>",
    "svg style": '<svg><style><a title="</style>{}"></svg>',
    "svg script": "<svg><script>{}</script></svg>",
    "math": "<math><mtext>{}</mtext></math>",
    "iframe": "<iframe>{}</iframe>",
    "xmp": "<xmp>{}</xmp>",
    "unclosed quote": '<p title="{}>x</p>',
    "behind a script": "<script>'<!-- <script>'</script>{}</script>",
    "template": "<template><p>{}</p></template><p>{}</p>",
    "meta": '<meta http-equiv="refresh" content="0;url={}">',
    "base": '<base href="{}"><a href="x">x</a>',
}
PAYLOADS = (
    f"<script>{FIRE}</script>",
    f"<img src=x onerror={FIRE}>",
    f'"><img src=x onerror={FIRE}>',
    f"'><img src=x onerror={FIRE}>",
    f'" autofocus onfocus={FIRE} x="',
    f"' autofocus onfocus={FIRE} x='",
    f"x autofocus onfocus={FIRE}",
    f"javascript:{FIRE}",
    f"');{FIRE};//",
    f"';{FIRE};//",
    FIRE,
    f"${{{FIRE}}}",
    f"</script><script>{FIRE}</script>",
    f"</style><img src=x onerror={FIRE}>",
    f"</textarea></title><img src=x onerror={FIRE}>",
    f"--><img src=x onerror={FIRE}><!--",
    f"]]><img src=x onerror={FIRE}>",
    f"</noscript></svg></math></xmp></iframe><img src=x onerror={FIRE}>",
    f"&lt;img src=x onerror={FIRE}&gt;",
    f"&quot;&gt;&lt;img src=x onerror={FIRE}&gt;",
    f"<svg onload={FIRE}>",
    f"</p><iframe srcdoc='<script>{FIRE}</script>'></iframe>",
    f"\\u003cimg src=x onerror={FIRE}\\u003e",
    f"*/}}</style><img src=x onerror={FIRE}>",
)
_ANYWHERE = (
    f"javascript:/*--></title></style></textarea></script><script>{FIRE}//</script><img src=x"
    f" onerror={FIRE}> ' autofocus onfocus={FIRE} '\" autofocus onfocus={FIRE} \""
)
SHORT = (PAYLOADS[1], _ANYWHERE)
"""What CI tries: a tag, and what is meant for many places at once."""

AT_ONCE = 120
"""So many pages are looked at at a time."""

_HOST = """<!doctype html><title>host</title><script>
var fired = [], left = 0;
function frames_of(first, end) {
  left = end - first;
  for (let n = first; n < end; n++) {
    const one = document.createElement('iframe');
    one.onload = () => { left -= 1; };
    one.src = '/frame/' + n;
    document.body.append(one);
  }
}
function poke(root) {
  for (const one of root.querySelectorAll('*')) {
    if (one.namespaceURI.endsWith('xhtml') && one.click && !one.closest('form')) one.click();
    if (one.focus) one.focus();
    one.dispatchEvent(new MouseEvent('mouseover'));
  }
}
function poke_all() {
  for (const one of document.querySelectorAll('iframe'))
    try { poke(one.contentDocument); } catch (e) { }
}
</script><body>"""


def token(text: str) -> str:
    return a_session().seal(text.encode(), Context(SCOPE)).decode()


def a_reading(escape: Escape, *, json_too: bool = False, rendered: Iterable[str] = ()) -> Rule:
    block = replace(
        a_block(decrypt=[an_item("tokens", bind=BIND)]),
        escape=escape,
        format=None if json_too else "text",
        rendered=tuple(map(parse_json_selector, rendered)),
    )
    return a_rule(response=block, names=NAMES)


def page_of(position: str, payload: str, escape: Escape = "auto") -> str:
    """Return a page as the client gets it, of a backend that put a sealed payload there."""
    text = POSITIONS[position].format(*[token(payload)] * POSITIONS[position].count("{}"))
    head = a_response(headers=((b"Content-Type", b"text/html; charset=utf-8"),))
    return replied(a_reading(escape), f"<!doctype html><body>{text}", head).decode()


@asynccontextmanager
async def framing(pages: list[str]) -> AsyncIterator[str]:
    """Serve a page with a frame for each of some pages."""

    async def host(_: web.Request) -> web.Response:
        return web.Response(text=_HOST, content_type="text/html")

    async def frame(request: web.Request) -> web.Response:
        text = pages[int(request.match_info["number"])]
        return web.Response(text=text, content_type="text/html", charset="utf-8")

    app = web.Application()
    app.router.add_routes([web.get("/", host), web.get(r"/frame/{number:\d+}", frame)])
    async with serving(app) as port:
        yield f"http://127.0.0.1:{port}/"


async def fired(page: Page, pages: list[str]) -> set[int]:
    """Return the numbers of the pages in which a payload ran."""
    ran: set[int] = set()
    async with framing(pages) as address:
        for first in range(0, len(pages), AT_ONCE):
            await page.open(address)
            await page.value(f"frames_of({first}, {min(first + AT_ONCE, len(pages))})")
            await page.until("left <= 0", seconds=120.0)
            await page.value("poke_all()")
            await asyncio.sleep(0.7)
            ran |= set(await page.value("fired"))
    return ran


def matrix(payloads: Iterable[str], escape: Escape) -> tuple[list[str], list[tuple[str, str]]]:
    cells = list(itertools.product(POSITIONS, payloads))
    pages = [
        page_of(position, payload.replace("__N__", str(number)), escape)
        for number, (position, payload) in enumerate(cells)
    ]
    return pages, cells


@pytest.mark.parametrize(
    "payloads",
    [pytest.param(SHORT, id="short"), pytest.param(PAYLOADS, id="all", marks=pytest.mark.slow)],
)
async def test_nothing_that_somebody_wrote_runs(payloads: tuple[str, ...]) -> None:
    sealed, cells = matrix(payloads, "auto")
    naked, _ = matrix(payloads, "none")
    async with chromium() as page:
        ran = await fired(page, sealed)
        would = await fired(page, naked)

    assert [cells[number] for number in ran] == []
    # The matrix has teeth: as they are, most positions let a payload run.
    assert len({cells[number][0] for number in would}) > 20


async def test_plain_text_reads_as_it_was_written() -> None:
    read = {
        "text": "document.querySelector('p').textContent",
        "bare": "document.body.textContent",
        "title": "document.title",
        "textarea": "document.querySelector('textarea').value",
        "option": "document.querySelector('option').textContent",
        "quoted attribute": "document.querySelector('input').title",
        "attribute in single quotes": "document.querySelector('input').value",
        "alt": "document.querySelector('img').alt",
        "placeholder": "document.querySelector('input').placeholder",
    }
    async with framing([page_of(one, PLAIN) for one in read]) as address, chromium() as page:
        shown = {}
        for number, (position, expression) in enumerate(read.items()):
            await page.open(f"{address}frame/{number}")
            shown[position] = await page.value(expression)

    assert shown == dict.fromkeys(read, PLAIN)


async def test_json_that_a_client_renders_runs_nothing_and_reads_as_it_was_written() -> None:
    cells = [payload.replace("__N__", str(number)) for number, payload in enumerate(PAYLOADS)]
    rule = a_reading("auto", json_too=True, rendered=["$[*].title.rendered"])
    documents = [
        {
            "title": {"raw": token(text), "rendered": token(text)},
            "content": {"rendered": f"<p>{token(text)}</p>"},
            "prefixed": f"Re: {token(text)}",
        }
        for text in (*cells, PLAIN)
    ]
    answer = json.loads(replied(rule, json.dumps(documents)))
    async with framing([]) as address, chromium() as page:
        await page.open(address)
        shown = await page.value(
            f"""(async () => {{
              const show = (text, way) => {{
                const one = document.createElement('div');
                one[way] = text;
                document.body.append(one);
                return one.textContent;
              }};
              const all = {json.dumps(answer)}.map((one) => [
                show(one.title.raw, 'textContent'), show(one.title.rendered, 'innerHTML'),
                show(one.content.rendered, 'innerHTML'), show(one.prefixed, 'innerHTML')]);
              poke(document.body);
              await new Promise((done) => setTimeout(done, 500));
              return all;
            }})()"""
        )
        ran = await page.value("fired")

    assert ran == []
    assert [one[:3] for one in shown] == [[text] * 3 for text in (*cells, PLAIN)]

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp import AiohttpServer

from proxy.admin.routes.app_probes import VARIABLE, AppProbe, app_probes, ask
from proxy.core.errors import UnfitEnvironment


@pytest.fixture
async def server(aiohttp_server: AiohttpServer) -> TestServer:
    """Run an application that answers in every way."""

    async def answer(request: web.Request) -> web.Response:
        headers = {}
        if "to" in request.query:
            headers["Location"] = request.query["to"]
        if "circle" in request.query:
            headers["Location"] = "/302?circle"
        if request.headers.get("X-Token") != "t" and "token" in request.query:
            return web.Response(status=403)
        return web.Response(status=int(request.match_info["status"]), headers=headers)

    app = web.Application()
    app.add_routes([web.get("/{status}", answer)])
    return await aiohttp_server(app)


@pytest.fixture
def port(server: TestServer) -> int:
    assert server.port is not None
    return server.port


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/200", ""),
        ("/399", ""),
        ("/400", "status 400"),
        ("/503", "status 503"),
        ("/302?to=/200", ""),
        ("/302?to=/500", "status 500"),
        ("/302?to=http://elsewhere.example/500", ""),  # as the kubelet has it
        ("/302?to=/302?to=/302", ""),
        ("/200?token", "status 403"),
    ],
)
async def test_the_answer_tells_how_the_application_is(port: int, path: str, expected: str) -> None:
    assert await ask(AppProbe(port, 5, "http", path)) == expected


async def test_headers_of_the_probe_are_sent(port: int) -> None:
    assert await ask(AppProbe(port, 5, "http", "/200?token", (("X-Token", "t"),))) == ""


async def test_endless_redirects_are_no_sign_of_life(port: int) -> None:
    assert await ask(AppProbe(port, 5, "http", "/302?circle")) == "too many redirects"


async def test_a_connection_is_enough_where_nothing_else_was_asked(
    server: TestServer, port: int
) -> None:
    assert await ask(AppProbe(port, 5)) == ""
    await server.close()
    assert await ask(AppProbe(port, 5)) == "no usable answer"


async def test_no_answer_in_time_is_no(port: int) -> None:
    # An address of TEST-NET would leave the machine; a listener that never answers does not.
    assert await ask(AppProbe(port, 0.000001, "http", "/200")) == "no answer in time"


def test_probes_are_read_as_the_injector_tells_them() -> None:
    told = {
        "web/readinessProbe": {
            "handler": {
                "httpGet": {
                    "path": "up",
                    "port": "http",
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "A", "value": "b"}],
                }
            },
            "port": 8080,
            "timeout": 3,
        },
        "web/livenessProbe": {"handler": {"tcpSocket": {"port": 1}}, "port": 1, "timeout": 1},
    }

    assert app_probes({VARIABLE: json.dumps(told)}) == {
        "web/readinessProbe": AppProbe(8080, 3, "https", "/up", (("A", "b"),)),
        "web/livenessProbe": AppProbe(1, 1),
    }
    assert app_probes({}) == {}


@pytest.mark.parametrize(
    "written",
    [
        "{",
        "[]x",
        "[1]",
        '{"a": 1}',
        '{"a": {"handler": {}, "port": 1, "timeout": 1}}',
        '{"a": {"handler": {"tcpSocket": {}}, "port": 0, "timeout": 1}}',
        '{"a": {"handler": {"httpGet": {"scheme": "FTP"}}, "port": 1, "timeout": 1}}',
    ],
)
def test_what_cannot_be_read_keeps_the_sidecar_from_starting(written: str) -> None:
    with pytest.raises(UnfitEnvironment):
        app_probes({VARIABLE: written})

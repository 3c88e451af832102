"""Service accounts: a real HTTPS server that speaks TokenReview, and all that may go wrong."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from proxy.admin.auth import token_review
from proxy.admin.auth.access import Access
from proxy.admin.auth.token_review import TokenReviews
from proxy.admin.auth.tokens import Caller, ReviewFailed, Tokens
from proxy.admin.policy import REVIEWED_SECONDS
from proxy.config.settings import AdminKubernetes, TcpAddress
from proxy.config.settings.admin import AdminAccount
from proxy.core.errors import UnfitEnvironment

from ..conftest import Listening

OURS = "token-of-sealyard-itself"
PROMETHEUS = Caller("account:monitoring/prometheus", frozenset({"read"}))
LATER = 4_102_444_800  # 2100


def a_jwt(exp: object = LATER) -> bytes:
    """Return what looks like an account's token; the API server alone can tell whether it is."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).rstrip(b"=")
    return b"eyJhbGciOiJSUzI1NiJ9." + claims + b".c2ln"


def a_status(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "authenticated": True,
        "user": {"username": "system:serviceaccount:monitoring:prometheus"},
        "audiences": ["sealyard"],
        **more,
    }


@dataclass
class ApiServer:
    """Answers every review with `status`, and remembers what it was asked."""

    status: Any = field(default_factory=a_status)
    code: int = 201
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    reviews: TokenReviews = field(init=False)
    now: float = field(default_factory=time.time)
    since_boot: float = 0.0

    def wait(self, seconds: float) -> None:
        self.now, self.since_boot = self.now + seconds, self.since_boot + seconds

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers["Authorization"], await request.json()))
        if isinstance(self.status, bytes):
            return web.Response(status=self.code, body=self.status)
        return web.json_response({"kind": "TokenReview", "status": self.status}, status=self.code)


Serving = Callable[..., Awaitable[ApiServer]]


@pytest.fixture
def api_server(
    tmp_path: Path, aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch
) -> Serving:
    async def serve(*, trusted: bool = True) -> ApiServer:
        authority, other = trustme.CA(), trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        (authority if trusted else other).cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        (tmp_path / "token").write_text(OURS)
        made = ApiServer()
        app = web.Application()
        app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", made.answer)
        server = await aiohttp_server(app, ssl=context)
        settings = AdminKubernetes(
            (AdminAccount("monitoring/prometheus", PROMETHEUS.scopes),),
            "sealyard",
            TcpAddress("127.0.0.1", server.port or 0),
            tmp_path / "ca.crt",
            tmp_path / "token",
        )
        made.reviews = TokenReviews(settings, lambda: made.now)
        monkeypatch.setattr(token_review, "since_boot", lambda: made.since_boot)
        return made

    return serve


async def test_the_api_server_says_whose_token_it_is(api_server: Serving) -> None:
    token = a_jwt()
    server = await api_server()
    found = await server.reviews.caller(token)

    assert found == PROMETHEUS
    ((authorization, review),) = server.asked
    assert authorization == f"Bearer {OURS}"
    assert (review["apiVersion"], review["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
    assert review["spec"] == {"token": token.decode(), "audiences": ["sealyard"]}


REFUSED: list[Any] = [
    a_status(authenticated=False),
    a_status(authenticated="true"),
    a_status(error="expired"),
    a_status(audiences=["https://kubernetes.default.svc"]),
    a_status(audiences=None),
    a_status(user={"username": "system:serviceaccount:monitoring:grafana"}),
    a_status(user={"username": "monitoring/prometheus"}),
    a_status(user={"username": "system:serviceaccount:monitoring/prometheus"[:-1]}),
    a_status(user="system:serviceaccount:monitoring:prometheus"),
    {},
]


@pytest.mark.parametrize("status", REFUSED)
async def test_a_review_that_does_not_say_yes_to_all_admits_nobody(
    api_server: Serving,
    status: Any,  # noqa: ANN401 - JSON
) -> None:
    server = await api_server()
    server.status = status
    assert await server.reviews.caller(a_jwt()) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [(b"no JSON", 201), (b"[]", 201), (b"x" * 300_000, 201), (b"{}", 201), (a_status(), 403),
     (a_status(), 500), (a_status(), 302), ("text", 201), (b"[" * 100_000, 201)],
)  # fmt: skip
async def test_an_answer_that_is_none_admits_nobody(
    api_server: Serving,
    status: Any,  # noqa: ANN401 - JSON
    code: int,
) -> None:
    server = await api_server()
    server.status, server.code = status, code
    with pytest.raises(ReviewFailed):
        await server.reviews.caller(a_jwt())


async def test_an_api_server_of_another_authority_is_not_believed(api_server: Serving) -> None:
    server = await api_server(trusted=False)
    with pytest.raises(ReviewFailed):
        await server.reviews.caller(a_jwt())

    assert server.asked == []


async def test_without_a_token_of_our_own_nobody_is_admitted(
    api_server: Serving, tmp_path: Path
) -> None:
    server = await api_server()
    (tmp_path / "token").unlink()
    with pytest.raises(ReviewFailed):
        await server.reviews.caller(a_jwt())


async def test_an_answer_is_kept_for_a_while_and_not_beyond_the_token(api_server: Serving) -> None:
    server = await api_server()
    short = a_jwt(int(server.now) + 5)
    for token in (a_jwt(), a_jwt(), short):
        await server.reviews.caller(token)
    kept = len(server.asked)
    server.wait(6)
    await server.reviews.caller(a_jwt())
    await server.reviews.caller(short)
    after_five = len(server.asked)
    server.wait(REVIEWED_SECONDS)
    server.now -= 36_000  # a clock that is set back keeps nothing
    server.status = a_status(authenticated=False)
    taken_back = await server.reviews.caller(a_jwt())

    assert (kept, after_five, taken_back) == (2, 3, None)


@pytest.mark.parametrize("exp", [None, "soon", [], 1e400])
async def test_a_token_that_tells_no_end_is_reviewed_each_time(
    api_server: Serving, exp: object
) -> None:
    server = await api_server()
    for _ in range(2):
        assert await server.reviews.caller(a_jwt(exp)) == PROMETHEUS
    assert len(server.asked) == (1 if exp == 1e400 else 2)


@pytest.mark.parametrize(
    "token", [b"no-jwt", b"a.b", b"a.b.c.d", b"a.\xff.c", b"a." + b"b" * 20_000 + b".c"]
)
async def test_what_is_no_jwt_is_not_asked_about(api_server: Serving, token: bytes) -> None:
    server = await api_server()
    assert await server.reviews.caller(token) is None

    assert server.asked == []


async def test_an_authority_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = AdminKubernetes((), "a", TcpAddress("127.0.0.1", 1), tmp_path / "no", tmp_path / "t")
    with pytest.raises(UnfitEnvironment, match="admin-kubernetes"):
        TokenReviews(settings, time.time)


async def test_guesses_do_not_load_the_api_server_and_known_tokens_pass(
    api_server: Serving, listening: Listening
) -> None:
    server = await api_server()
    access = Access(Tokens(()), reviews=server.reviews)
    ours = await listening(access=access)
    right = await ours.call("GET", "/livez", token=a_jwt().decode())
    server.status = a_status(authenticated=False)
    wrong = [
        (await ours.call("GET", "/livez", token=a_jwt(LATER + number).decode()))[0]
        for number in range(1, 16)
    ]
    again = await ours.call("GET", "/livez", token=a_jwt().decode())
    scope = await ours.call("POST", "/-/reload", token=a_jwt().decode())

    assert (right[0], again[0], scope[0]) == (200, 200, 403)
    assert wrong[:10] == [401] * 10
    assert set(wrong[11:]) == {429}
    assert len(server.asked) <= 12


async def test_a_review_that_fails_is_told_as_such(
    api_server: Serving, listening: Listening
) -> None:
    server = await api_server()
    server.code = 500
    access = Access(Tokens(()), reviews=server.reviews)
    ours = await listening(access=access)
    status, headers, _ = await ours.call("GET", "/livez", token=a_jwt().decode())

    assert (status, headers["Sealyard-Error"]) == (503, "token-not-reviewed")

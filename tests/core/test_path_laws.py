"""However a server reads a path: the rule whose handler it runs takes the request, or nobody does.

The servers are the models of `server_models`; what they are asked is the path that is forwarded.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import AmbiguousRequest, SealyardError
from proxy.core.expressions.routes import RouteTable, parse_pattern
from proxy.core.http.path import canonical
from proxy.core.policy import PATH_READINGS
from tests.core.server_models import MODELS

LITERALS = ("/api/pay", "/pay", "/api/v1.2/pay", "/files/pay.php", "/api/pay.json", "/", "/x/y")
OPEN = ("/**", "/api/{what}", "/{a}/{b}", "/api/**", "/{a}")

pieces = st.sampled_from(
    [
        *("/", "/", "/", "/api", "/pay", "/x", "/y", "/files", "/v1.2", "/q", "/api/pay", "/API"),
        *(".json", ".php", ".JSON", ".tar.gz", ".xml", ".", "%2Ejson", "%252Ejson", ".php5"),
        *("/index.php", "/index", "/index.html", "/app_dev.php", "/default.aspx", "/index%2Ephp"),
        *(";", ";x=1", ";.json", "%3B", "%3Bx", "/..;", "..", "/..", "/.", "/%2e%2e", "..%2f"),
        *("%2f", "%2F..", "%252f", "%5c", "%5C..", "%3f", "%23", "%20", "%2e", "%EF%BC%8F"),
        *("%EF%BC%8E", "::$DATA", "/(S(abc))", "/(A(b)F(c))", "(S(a))", "%253b", "%253f", "+"),
        *("%252e%252e", "%25252f", "/..%2f..%2f", "%2f%2f", "%E2%80%A5", "%EF%BD%99", "~1"),
    ]
)
drawn = st.lists(pieces, max_size=7).map(lambda parts: "/" + "".join(parts).lstrip("/"))


def taken_by(patterns: list[str], path: str, *, folded: bool) -> int | None:
    """Return which pattern takes a plain path, as a list would be looked through."""
    for index, text in enumerate(patterns):
        pattern = parse_pattern(text)
        wanted = [*(pattern.segments if pattern.segments != ("",) else ("",))]
        have = path[1:].split("/")
        if pattern.rest:
            have = have[: len(wanted)]
        if len(have) == len(wanted) and all(
            bool(got) if want is None else (want.casefold() if folded else want) == got
            for want, got in zip(
                wanted, [one.casefold() if folded else one for one in have], strict=True
            )
        ):
            return index
    return None


def laws(patterns: list[str], raw: str) -> None:
    try:
        path = canonical(raw)
        routes = RouteTable([(at, parse_pattern(one)) for at, one in enumerate(patterns)])
        found = routes.at(path).first("POST")
    except SealyardError:
        return
    taken = found[0] if found else None
    for name, model in MODELS.items():
        for reached in model(path.text):
            if not reached.startswith("/"):
                continue
            for text in {reached, reached.rstrip("/") or "/"}:
                handler = taken_by(patterns, text, folded=True)
                if handler is not None and handler != taken and literal(patterns[handler]):
                    raise AssertionError((name, raw, reached, patterns[handler], taken))


def literal(pattern: str) -> bool:
    return not re.search(r"[{*]", pattern)


def unlike(patterns: list[str]) -> bool:
    """Whether no two of them are one resource for some server: then their author chose."""
    stems = [re.sub(r"(?:/index)?(?:\.[a-z]+)?/?$", "", one) for one in patterns if literal(one)]
    return len(set(stems)) == len(stems)


some_rules = st.builds(
    lambda literals, opened, first: [*opened, *literals] if first else [*literals, *opened],
    st.lists(st.sampled_from(LITERALS), min_size=1, max_size=3, unique=True).filter(unlike),
    st.lists(st.sampled_from(OPEN), max_size=2, unique=True),
    st.just(False),  # noqa: FBT003 - what stands first takes all: then there is no second reading
)


@given(some_rules, drawn)
@example(["/api/pay", "/**"], "/api/pay.json")
@example(["/api/pay", "/**"], "/index%2Ephp/api/pay")
@example(["/api/pay"], "/x%3f/..%2f..%2fapi/pay")
@example(["/api/pay"], "/a%5cb/..%2fapi/pay")
@example(["/api/pay"], "/a%EF%BC%8Fb/..%2fapi/pay")
@example(["/api/pay"], "/api/pay;%2fx")
@example(["/api/pay"], "/api/q%2f%2f..%2f..%2fpay")
@example(["/files/pay.php"], "/files/pay/x")
@example(["/files/pay.php"], "/files/pay.php/x")
@example(["/api/pay.json"], "/api/pay")
def test_no_server_runs_the_handler_of_a_rule_that_did_not_take_the_request(
    patterns: list[str], raw: str
) -> None:
    laws(patterns, raw)


@pytest.mark.timing
@pytest.mark.parametrize(
    "raw",
    [
        "/" + ";%252f" * 400,
        "/a" + "%2f;x%3f%5c%EF%BC%8F" * 60,
        "/" + "a.php/" * 1000 + "x",
        "/" + "." * 4000 + "/" + "a." * 2000,
        "/a" + "." * 8000,
    ],
)
def test_a_path_of_very_many_readings_is_read_soon(raw: str) -> None:
    routes = RouteTable([(0, parse_pattern("/api/pay")), (1, parse_pattern("/{a}/{b}/**"))])
    began = time.process_time()
    with suppress(AmbiguousRequest):
        routes.at(canonical(raw)).first("POST")
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    "raw",
    [
        "/a" + "%252f;x%253f%255c%EF%BC%8F%2f%2f%28S%28a%29%29" * 20,
        "/" + "a.php/" * 40 + "x",
        "/indexa%20./pay.pl/a.json/(S(a))/%ef%bc%8f/pay.pl/%5c/a.php;x",  # few of each kind
    ],
)
def test_a_path_of_more_readings_than_anybody_needs_is_refused(raw: str) -> None:
    with pytest.raises(AmbiguousRequest) as caught:
        RouteTable([(0, parse_pattern("/api/pay"))]).at(canonical(raw)).first("POST")
    assert caught.value.reason == "two-readings-of-path"


@pytest.mark.parametrize(
    "raw",
    [
        "/proxy/https%253A%252F%252Fa.example%252Fb%253Fc%253Dd%2523e;f=%2525",
        "/files/https%3A%2F%2Fhost.pl%2Fx%2Findex.html%3Fa%3Db%26c",
        "/gitlab/projects/group%2Fsub%2Fproj/repository/files/src%2Fmain%2Findex.php/raw",
        "/wiki/index.php/Foo%3F",
        "/cgi-bin/a.pl/b/c.html",
        "/app/index.jsp;jsessionid=F00",
        "/a/report%20(final).v2.tar.gz",
    ],
)
def test_a_path_that_applications_have_has_few_readings(raw: str) -> None:
    routes = RouteTable([(0, parse_pattern("/files/a.b.c.tar.gz")), (1, parse_pattern("/**"))])
    assert len(canonical(raw).readings) < PATH_READINGS
    assert routes.at(canonical(raw)).first("GET") is not None

"""The ladder: what is safe to step up refuses nothing there, and every refusal was foretold."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from proxy.cli.support.steps import judged
from proxy.core.explain.explanation import PlayedAnswer, Wanted

from .explained_and_served import CANARY, JSON, World, a_world, possible
from .rig import ROOT, TOKEN, Served, backend, environment, running, served
from .test_explain_is_serve import conversations, messages, rule_sets

PERMISSIVE = "permissive until 2999-01-01"
STEPS = [("observe", PERMISSIVE), (PERMISSIVE, "enforce")]
Rules = list[dict[str, Any]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("ladder")) as made:
        yield made


def in_mode(rules: Rules, mode: str) -> Rules:
    """Return rules in a mode, which no block has of its own."""
    made = copy.deepcopy(rules)
    for rule in made:
        rule["mode"] = mode
        for side in ("request", "response"):
            if isinstance(rule.get(side), dict):
                rule[side].pop("mode", None)
    return made


OPENING = st.sampled_from(
    [
        {"decrypt": ["$.a"]},
        {"decrypt": ["optional $.a", "optional $.list.*.a"]},
        {"decrypt": ["optional $.a"], "on_error": "keep"},
        {"decrypt": "tokens"},
    ]
)


def openings() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a rule that opens, which is where the modes differ most."""
    made = {"name": "opening", "match": "POST /open/{id}", "conversation": "const:c1"}
    sides = {"request": st.one_of(st.just("pass"), OPENING), "response": OPENING}
    return st.fixed_dictionaries({**{key: st.just(one) for key, one in made.items()}, **sides})


def opened(tokens: list[str]) -> st.SearchStrategy[Wanted]:
    """Draw a message for it: plain values, tokens that open, and tokens that do not."""
    value = st.sampled_from([CANARY, *tokens[:2]])
    body = st.fixed_dictionaries(
        {"a": value}, optional={"list": st.lists(st.fixed_dictionaries({"a": value}), max_size=2)}
    ).map(lambda members: json.dumps(members).encode())
    answer = body.map(lambda sent: PlayedAnswer(200, (JSON,), sent))
    return st.builds(Wanted, st.just("POST"), st.just("/open/1"), st.just((JSON,)), body, answer)


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes many minutes
    suppress_health_check=list(HealthCheck),
)
@given(drawn=rule_sets(), opening=openings(), data=st.data())
def test_what_is_refused_one_step_up_was_foretold_and_only_that(
    world: World, drawn: Rules, opening: dict[str, Any], data: st.DataObject
) -> None:
    sent = [
        data.draw(messages(len(drawn) - 1, world.tokens), label=f"message {number}")
        for number in range(8)
    ]
    sent += [data.draw(opened(world.tokens), label=f"opened {number}") for number in range(3)]
    drawn = [*drawn, opening]
    sent.append(data.draw(conversations(world.tokens), label="WebSocket"))
    for lower, upper in STEPS:
        low, high = in_mode(drawn, lower), in_mode(drawn, upper)
        assume(possible(low))
        assume(possible(high))
        world.runner.run(_foretold(world, low, high, sent))


async def _foretold(world: World, low: Rules, high: Rules, sent: list[Wanted]) -> None:
    serving = world.serving
    await serving.take(low)
    before = await _refusals(world, sent)
    ladder = await _ladder(serving.admin)
    await serving.take(high)
    after = await _refusals(world, sent)
    await serving.take([])  # what was counted ends here

    new = [rule for rule, was in zip(after, before, strict=True) if rule and not was]
    refused = Counter(rule for rule in new if rule != "none")
    for row in ladder["rules"]:
        foretold = [one for one in row["would_refuse"] if one["rule"] is not None]
        # Some are refused already, for something else, and would be for this as well.
        assert bool(foretold) <= (row["rule"] in after), row
        counted = sum(one["messages"] for one in foretold)
        assert refused[row["rule"]] <= counted <= row["messages"], (row, refused)
        if row["safe"]:
            assert not refused[row["rule"]]
            assert "none" not in new or row["mode"] != "observe"


@pytest.mark.parametrize("more", [{"list": []}, {"other": 1}, {"a": CANARY, "other": 1}])
def test_what_a_rule_does_not_list_is_foretold_though_all_that_it_opens_opened(
    world: World, more: dict[str, object]
) -> None:
    opening = {"request": {"decrypt": ["$.a"]}, "response": {"decrypt": ["optional $.a"]}}
    rules: Rules = [
        {"name": "opening", "match": "POST /open/{id}", "conversation": "const:c1", **opening}
    ]
    sent = json.dumps({"a": world.tokens[0], **more}).encode()
    one = Wanted("POST", "/open/1", (JSON,), sent, PlayedAnswer(200, (JSON,), b"{}"))
    low, high = in_mode(rules, PERMISSIVE), in_mode(rules, "enforce")

    async def foretold() -> tuple[list[str], Rules, list[str]]:
        await world.serving.take(low)
        before, told = await _refusals(world, [one]), await _ladder(world.serving.admin)
        await world.serving.take(high)
        after = await _refusals(world, [one])
        await world.serving.take([])
        return before, told["rules"], after

    before, (row,), after = world.runner.run(foretold())
    assert (before, after) == ([""], ["opening"])
    assert not row["safe"]
    assert [one["reason"] for one in row["would_refuse"]] == ["unlisted-name"]


async def _refusals(world: World, sent: list[Wanted]) -> list[str]:
    """Send messages; return for each the rule that refused it, `none` for no rule, or nothing."""
    found = []
    for one in sent:
        _, _, line, _ = await world.serving.ask(one)
        refused = "reason" in line
        found.append((line.get("rule") or "none") if refused else "")
    return found


async def _ladder(admin: int, days: int = 0) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://127.0.0.1:{admin}/v1/status/steps") as response,
    ):
        assert response.status == 200, await response.text()
        return judged(await response.json(), days)


_RULES = """\
      - name: send
        match: POST /api/messages
        mode: {mode}
        conversation: const:c1
        request: {{encrypt: [$.content]}}
        response: {{decrypt: [$.content]}}
      - name: list
        match: GET /api/messages
        mode: {mode}
        conversation: const:c1
        response: {{decrypt: [$.content]}}
"""
_CLIENT_NAMES = """\
    client_names:
      - {name: ios, user_agent: clinic-ios}
      - {name: here, address: 127.0.0.0/8}
"""


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), content_type="application/json")


async def _send(running: Served, content: str, agent: str, path: str = "/api/messages") -> int:
    async with (
        aiohttp.ClientSession(headers={"User-Agent": agent}) as session,
        session.post(f"http://127.0.0.1:{running.port}{path}", json={"content": content}) as answer,
    ):
        await answer.read()
        return answer.status


def _run(folder: Path, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-P", "-m", "proxy", *options]
    return subprocess.run(  # noqa: S603 - Sealyard itself
        [*line, "--config", str(folder / "sealyard.yaml")],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def _rule(report: dict[str, Any], name: str = "send") -> dict[str, Any]:
    (found,) = [one for one in report["rules"] if one["rule"] == name]
    return dict(found)


async def _reload(running: Served, folder: Path, old: str, new: str) -> None:
    path = folder / "sealyard.yaml"
    path.write_text(path.read_text().replace(old, new))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"http://127.0.0.1:{running.admin}/-/reload") as response,
    ):
        assert response.status == 200, await response.text()


def _with_client_names(rules: str) -> str:
    """Return rules behind which the client names of their listener stand."""
    return rules + _CLIENT_NAMES


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_ladder_is_climbed_and_tells_who_would_be_refused(
    tmp_path: Path, workers: str
) -> None:
    canary = secrets.token_hex(16)
    rules = _with_client_names(_RULES.format(mode="observe"))
    options = ("--log-level", "debug", "--workers", workers)

    async def listed(_: web.Request) -> web.Response:
        return web.json_response({"content": canary})

    plain = web.get("/api/messages", listed)
    async with backend(plain, web.post("/api/messages", _echo)) as behind:
        with served(tmp_path, behind.port, *options, rules=rules) as running:
            await running.event("server.ready")
            for agent in ("clinic-ios/3.2", "clinic-ios/3.2", "curl/8"):
                assert await _send(running, canary, agent) == 200
            await _settled(running, 3)
            observed = _rule(await _ladder(running.admin))
            assert (observed["mode"], observed["next"], observed["messages"]) == (
                "observe",
                "permissive",
                3,
            )
            assert (observed["safe"], observed["because"]) == (True, [])
            assert _rule(await _ladder(running.admin, 7))["because"] == ["0.0 of 7 days are over"]

            await _reload(running, tmp_path, "mode: observe", f"mode: {PERMISSIVE}")
            assert _rule(await _ladder(running.admin))["because"] == ["no message came"]
            assert await _send(running, canary, "curl/8") == 200
            for lines, agent in enumerate(("clinic-ios/3.2", "clinic-ios/4", "ada@example.org"), 5):
                assert await _get(running, agent) == 200
                await _settled(running, lines)  # another worker may write the next
            report = await _ladder(running.admin)
            assert _rule(report)["safe"] is True
            opening = _rule(report, "list")
            assert (opening["plain"], opening["safe"], opening["seen"]) == (3, False, True)
            assert opening["because"] == ["3 of 3 messages would be refused"]
            assert {(one["client_name"], one["messages"]) for one in opening["would_refuse"]} == {
                ("ios", 2),
                ("here", 1),
            }

            told = _run(tmp_path, ("status", "--steps", "--days", "0"))
            assert told.returncode == 1, told.stderr
            assert "2 would be refused: response not-a-token from ios" in told.stdout
            assert "safe to enforce: no, because 3 of 3 messages would be refused" in told.stdout
            document = _run(tmp_path, ("status", "--steps", "--days", "0", "--json")).stdout
            assert json.loads(document)["days"] == 0

            await _reload(running, tmp_path, f"mode: {PERMISSIVE}", "mode: enforce")
            assert await _send(running, canary, "curl/8") == 200
            assert await _get(running, "clinic-ios/3.2") == 502
            metrics = await _text(running, "/metrics")
            status = await _text(running, "/v1/status")
            texts = (metrics, status, json.dumps(report), told.stdout, running.log.read_text())
            assert all(canary not in one and "ada@example" not in one for one in texts)
            each = [one for one in running.events if one["event"] == "message.would_refuse"]
            assert [one["client_name"] for one in each] == ["ios", "ios", "here"]
            assert len({one["request_id"] for one in each}) == 3
            assert "sealyard_step_up_refusals_total" in metrics


async def _get(running: Served, agent: str) -> int:
    async with (
        aiohttp.ClientSession(headers={"User-Agent": agent}) as session,
        session.get(f"http://127.0.0.1:{running.port}/api/messages") as answer,
    ):
        await answer.read()
        return answer.status


async def _text(running: Served, path: str) -> str:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.get(f"http://127.0.0.1:{running.admin}{path}") as response,
    ):
        return await response.text()


async def _settled(running: Served, lines: int) -> None:
    """Wait until so many messages are over, their dry runs included."""
    await running.event("message.handled", lines)


async def test_what_was_counted_outlives_the_process(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    rules, kept = _RULES.format(mode="observe"), "ladder_file: ladder.json"
    async with backend(web.post("/api/messages", _echo)) as behind:
        with served(tmp_path, behind.port, rules=rules, admin_more=kept) as serving:
            await serving.event("server.ready")
            assert await _send(serving, canary, "x") == 200
            await _settled(serving, 1)
            first = await _ladder(serving.admin)
        text = (tmp_path / "sealyard.yaml").read_text()
        with _again(tmp_path, serving, text) as serving:
            await serving.event("server.ready")
            assert await _send(serving, canary, "x") == 200
            await _settled(serving, 1)
            second = await _ladder(serving.admin)
        with _again(tmp_path, serving, text.replace("$.content", "$.text")) as serving:
            await serving.event("server.ready")
            third = await _ladder(serving.admin)
    assert (first["kept"], _rule(first)["messages"], _rule(second)["messages"]) == (True, 1, 2)
    assert _rule(second)["since"] == _rule(first)["since"]
    assert (_rule(third)["messages"], _rule(third)["seen"]) == (0, True)
    assert (tmp_path / "ladder.json").stat().st_mode & 0o777 == 0o600
    assert canary not in (tmp_path / "ladder.json").read_text()


def _again(folder: Path, before: Served, text: str) -> AbstractContextManager[Served]:
    """Start a process anew, with a log of its own."""
    log = before.log.with_name(f"{before.log.name}.next")
    return running(
        folder, text, port=before.port, admin=before.admin, health=before.health, log=log
    )


async def test_a_file_that_cannot_be_used_is_told_and_hinders_nothing(tmp_path: Path) -> None:
    (tmp_path / "ladder.json").write_text('{"version": 1, "rules": [{}]}')
    (tmp_path / "ladder.json").chmod(0o600)
    rules = _RULES.format(mode="observe")
    async with backend(web.post("/api/messages", _echo)) as behind:
        with served(
            tmp_path, behind.port, rules=rules, admin_more="ladder_file: ladder.json"
        ) as running:
            told = await running.event("ladder.unusable")
            await running.event("server.ready")
            assert await _send(running, "x", "x") == 200
            assert _rule(await _ladder(running.admin))["seen"] is False
    assert told["reason"] == "not-a-ladder-file"


async def test_each_command_of_the_page_runs_as_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "observe.md").read_text()
    (listener,) = re.findall(
        r"^    client_names:\n(?:      .*\n)+    find_sensitive: true\n", page, re.MULTILINE
    )
    commands = re.findall(r"^\$ sealyard (.*)$", page, re.MULTILINE)
    assert len(commands) == 4
    canary = secrets.token_hex(16)
    rules = _RULES.format(mode="observe") + listener
    body = {"patient": {"diagnosis": canary}}
    async with backend(web.post("/{path:.*}", _echo)) as behind:
        with served(
            tmp_path, behind.port, rules=rules, admin_more="ladder_file: ladder.json"
        ) as running:
            await running.event("server.ready")
            assert await _send(running, canary, "clinic-ios/1") == 200
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"http://127.0.0.1:{running.port}/api/visits/7", json=body) as answer,
            ):
                assert answer.status == 200
            await _settled(running, 2)
            told = [await asyncio.to_thread(_run, tmp_path, one.split()) for one in commands]
            assert [one.stderr for one in told] == [""] * 4
            assert "safe to permissive: no, because 0.0 of 7 days are over" in told[1].stdout
            assert "$.patient.diagnosis  (name: health; api / POST /api/visits/*" in told[0].stdout
            assert "0.0 of 14 days" in told[2].stdout
            report = json.loads(told[3].stdout)
            assert (_rule(report)["safe"], told[3].returncode) == (True, 1)  # `list` met none
            everything = [*(one.stdout for one in told), await _text(running, "/metrics")]
        assert canary not in "".join([*everything, running.log.read_text()])


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/API/messages", b'{"content":"x"}', 400),
        ("DELETE", "/api/messages?content=x", b"", 405),
        ("DELETE", "/api/messages", b'{"content":"x"}', 405),
        ("DELETE", "/api/messages", b"", 200),
    ],
)
async def test_requests_that_go_around_a_rule_are_told_of_all_that_observe(
    tmp_path: Path, method: str, target: str, body: bytes, status: int
) -> None:
    rules = _RULES.format(mode="observe")

    async def ask(running: Served) -> int:
        url = f"http://127.0.0.1:{running.port}{target}"
        headers = {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body or None, headers=headers) as answer,
        ):
            return answer.status

    path = "/{path:.*}"
    async with backend(web.post(path, _echo), web.delete(path, _echo)) as behind:
        with served(tmp_path, behind.port, rules=rules) as running:
            await running.event("server.ready")
            assert await ask(running) == 200
            await _settled(running, 1)
            report = await _ladder(running.admin)
            for row in report["rules"]:
                assert [one["rule"] for one in row["would_refuse"]] == [None] * (status != 200)
                assert ("beside the rules" in str(row["because"])) is (status != 200)
            await _reload(running, tmp_path, "mode: observe", f"mode: {PERMISSIVE}")
            assert await ask(running) == status
    await asyncio.sleep(0)

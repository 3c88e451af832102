"""Events on the owners of reviewed pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.injector.admission_review import review
from proxy.injector.owner_events import OwnerEvents
from proxy.injector.pod_reader import Json
from proxy.injector.policy import EVENT_BYTES, EVENTS_WAITING
from proxy.process.kubernetes_api import CallFailed
from tests.factories import Ear
from tests.injector.chain import a_review
from tests.injector.pods import STRICT, a_container, a_pod

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9c", "uid": "u1"}


class Server:
    """Keeps what it is sent, or refuses it."""

    def __init__(self) -> None:
        """Take all."""
        self.got: list[tuple[str, str, Json]] = []
        self.status = 201

    async def call(
        self, method: str, path: str, sent: object = None, *, kind: str = "application/json"
    ) -> object:
        """Answer."""
        if self.status != 201:
            raise CallFailed(f"status {self.status}", self.status)
        assert isinstance(sent, dict)
        self.got.append((method, path, sent))
        return {}


@asynccontextmanager
async def telling(server: Server, ear: Ear) -> AsyncIterator[OwnerEvents]:
    """Run the writer, until all is written."""
    made = OwnerEvents(server, ear, "injector-1")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        yield made
        for _ in range(5 * EVENTS_WAITING):
            await asyncio.sleep(0)
        task.cancel()


def reviewed(pod: Json, *, owner: Json | None = None, dry: bool = False) -> Json:
    """Return the review of a pod that somebody made."""
    owner = OWNER if owner is None else owner
    if owner:
        others = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u9"}
        pod["metadata"]["ownerReferences"] = [others, {**owner, "controller": True}]
    asked = a_review(pod)
    asked["request"]["dryRun"] = dry
    return asked


async def test_the_owner_of_a_pod_is_told_what_was_injected() -> None:
    server = Server()
    async with telling(server, Ear()) as events:
        events.tell(review(reviewed(a_pod()), STRICT))
    [(method, path, event)] = server.got

    assert (method, path) == ("POST", "/api/v1/namespaces/shop/events")
    assert event["involvedObject"] == {**OWNER, "namespace": "shop"}
    assert (event["reason"], event["type"]) == ("Injected", "Normal")
    assert event["message"].startswith("injected by ")


async def test_the_owner_is_told_why_its_pod_was_denied_and_once() -> None:
    server = Server()
    async with telling(server, Ear()) as events:
        for _ in range(3):
            events.tell(review(reviewed(a_pod(hostNetwork=True)), STRICT))
        events.tell(review(reviewed(a_pod(hostNetwork=True), owner={**OWNER, "uid": "u2"}), STRICT))
    told = [event for _, _, event in server.got]

    assert [one["involvedObject"]["uid"] for one in told] == ["u1", "u2"]
    assert {(one["reason"], one["type"]) for one in told} == {("Denied", "Warning")}
    assert told[0]["message"] == "hostNetwork: the pod has no network namespace of its own"


@pytest.mark.parametrize(
    "asked",
    [
        reviewed(a_pod(), owner={}),
        reviewed(a_pod(), dry=True),
        reviewed({**a_pod(), "spec": {"containers": []}}, dry=True),
    ],
)
async def test_nobody_is_told_of_a_pod_without_owner_and_of_a_dry_run(asked: Json) -> None:
    server = Server()
    async with telling(server, Ear()) as events:
        events.tell(review(asked, STRICT))

    assert server.got == []


async def test_a_long_message_is_cut_and_a_flood_of_them_too() -> None:
    server = Server()
    names = [a_container(f"c{number}", hostPort=1) for number in range(400)]
    async with telling(server, Ear()) as events:
        for number in range(2 * EVENTS_WAITING):
            pod = a_pod(containers=names, hostNetwork=True)
            events.tell(review(reviewed(pod, owner={**OWNER, "uid": f"u{number}"}), STRICT))
    told = [event for _, _, event in server.got]

    assert len(told) == EVENTS_WAITING
    assert all(len(one["message"].encode()) <= EVENT_BYTES for one in told)


async def test_an_event_that_is_not_taken_is_said_once() -> None:
    server, ear = Server(), Ear()
    server.status = 403
    async with telling(server, ear) as events:
        for uid in ("u1", "u2"):
            events.tell(review(reviewed(a_pod(), owner={**OWNER, "uid": uid}), STRICT))

    assert ear.all("injector.event_failed") == [{"reason": "status 403"}]

"""The OpenAPI document: complete, and what the listener says of itself."""

from __future__ import annotations

import json

from proxy.admin.openapi import api
from proxy.config.settings.admin import ADMIN_SCOPES
from proxy.keys.operations.verbs import VERBS

from .conftest import Open
from .test_listeners import ALL


def test_every_operation_tells_its_scope_and_its_refusals() -> None:
    operations = [one for path in api()["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]

    assert len(names) == len(set(names))
    for one in operations:
        open_to_all = one.get("security") == []
        assert open_to_all or one["x-sealyard-scope"] in ADMIN_SCOPES
        assert open_to_all or {"401", "403", "429", "500", "503"} <= set(one["responses"])
        assert ("requestBody" in one) <= ("400" in one["responses"])


def test_every_route_of_the_listener_is_in_it() -> None:
    told = {(method.upper(), path) for path, one in api()["paths"].items() for method in one}

    assert set(ALL) <= told


def test_every_verb_tells_what_the_store_and_the_workers_may_add() -> None:
    described = {
        one["operationId"]: one for path in api()["paths"].values() for one in path.values()
    }
    for verb in VERBS.values():
        if verb.route is None:
            continue
        responses = described[verb.route.name]["responses"]
        assert "`key-unavailable`" in responses["503"]["description"]
        assert "`malformed-call`" in responses["400"]["description"]
        shared = "`store-not-shared`" in responses.get("409", {"description": ""})["description"]
        assert shared == bool(verb.shared)


async def test_it_is_served(ours: Open) -> None:
    status, headers, text = await ours.call("GET", "/openapi.json")

    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/json")
    assert json.loads(text) == json.loads(json.dumps(api()))

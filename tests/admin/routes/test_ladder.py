"""`GET /v1/ladder`: how many days it takes."""

from __future__ import annotations

import json

import pytest

from ..conftest import Open


@pytest.mark.parametrize(
    ("query", "days"), [("", 7), ("?days=0", 0), ("?days=14", 14), ("?days=90", 90)]
)
async def test_the_days_are_those_asked_for(ours: Open, query: str, days: int) -> None:
    status, _, text = await ours.call("GET", f"/v1/ladder{query}")
    assert (status, json.loads(text)["days"]) == (200, days)


@pytest.mark.parametrize(
    "query", ["?days=91", "?days=-1", "?days=", "?days=1.5", "?days=٣", "?days=1&days=2", "?day=1"]
)
async def test_any_other_question_is_malformed(ours: Open, query: str) -> None:
    status, headers, _ = await ours.call("GET", f"/v1/ladder{query}")
    assert (status, headers["Sealyard-Error"]) == (400, "malformed-call")

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.errors import (
    KeyUnavailable,
    OperatorError,
    SealyardError,
)

from ..conftest import Everything, Listening

PATH = "/v1/sessions/package?tenant=clinic&conversation=c1"
FOUND: list[dict[str, Any]] = [
    {"sid": "n" * 16, "kid": "K" * 43, "package": {"protected": "new"}},
    {"sid": "o" * 16, "kid": "L" * 43, "package": {"protected": "old"}},
]


@pytest.mark.parametrize(("more", "which"), [("", 0), (f"&sid={'o' * 16}", 1)])
async def test_the_newest_package_is_given_out_or_that_of_a_session(
    listening: Listening, more: str, which: int
) -> None:
    ours = await listening(subject=Everything(found=FOUND))
    status, headers, text = await ours.call("GET", f"{PATH}&recipient=bob{more}")

    assert (status, json.loads(text)) == (200, FOUND[which]["package"])
    assert headers["Content-Type"].split(";")[0] == "application/jose+json"
    assert headers["Sealyard-Sid"] == FOUND[which]["sid"]
    assert headers["Sealyard-Signer"] == FOUND[which]["kid"]


@pytest.mark.parametrize("query", ["&recipient=eve", f"&recipient=bob&sid={'x' * 16}"])
async def test_what_is_not_for_somebody_is_not_there(listening: Listening, query: str) -> None:
    ours = await listening(subject=Everything(found=FOUND))
    status, headers, _ = await ours.call("GET", PATH + query)

    assert (status, headers["Sealyard-Error"]) == (404, "no-package")


@pytest.mark.parametrize(
    "path",
    [PATH, "/v1/sessions/package?recipient=bob", f"{PATH}&recipient=", f"{PATH}&recipient=%00"],
)
async def test_a_call_names_scope_and_recipient(listening: Listening, path: str) -> None:
    ours = await listening(subject=Everything(found=FOUND))
    assert (await ours.call("GET", path))[0] == 400


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (KeyUnavailable("store-unavailable"), 503, "key-unavailable"),
        (OperatorError("store-not-shared"), 409, "store-not-shared"),
        (OperatorError("else"), 500, "internal-error"),
    ],
)
async def test_what_stops_a_call_is_told_by_its_code(
    listening: Listening, error: SealyardError, status: int, code: str
) -> None:
    ours = await listening(subject=Everything(raises=error))
    answer = await ours.call("GET", f"{PATH}&recipient=bob")

    assert (answer[0], answer[1]["Sealyard-Error"]) == (status, code)

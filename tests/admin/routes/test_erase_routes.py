"""The call that destroys the session keys of one scope."""

from __future__ import annotations

import json

from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable, NotErasable
from proxy.keys.operations.verb import Call, Done

from ..conftest import Everything, Listening, Open

PATH = "/v1/sessions?tenant=clinic&conversation=c1"
NAME = "A" * 22


async def test_the_answer_is_a_receipt(listening: Listening) -> None:
    said = {"scope": NAME, "erased": ["s"], "receipt": "a.b.c", "key": {"x": "y"}}
    subject = Everything(done=Done(said))
    ours = await listening(subject=subject)
    status, headers, body = await ours.call("DELETE", PATH)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/json")
    told = json.loads(body)
    assert (told["erased"], told["receipt"], told["key"]) == (["s"], "a.b.c", {"x": "y"})
    # What "now" is, who has the store's clock says.
    assert subject.calls == [Call("sessions.erase", {"scope": Scope("clinic", "c1")})]


async def test_what_cannot_be_erased_says_so(listening: Listening) -> None:
    for error, status, code in (
        (NotErasable(), 409, "not-erasable"),
        (KeyUnavailable("store-unavailable"), 503, "key-unavailable"),
    ):
        ours = await listening(subject=Everything(raises=error))
        got, headers, _ = await ours.call("DELETE", PATH)
        assert (got, headers["Sealyard-Error"]) == (status, code)


async def test_a_call_names_its_scope(ours: Open) -> None:
    for path in ("/v1/sessions", "/v1/sessions?other=x"):
        assert (await ours.call("DELETE", path))[0] == 400

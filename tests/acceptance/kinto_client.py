"""Records by the client of Kinto's makers; prints what it was told as JSON.

Run by the Python of an environment that has it: BASE_URL CANARY
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any, Final

kinto_http: Final[Any] = importlib.import_module("kinto_http")
WORDS: Final = 'of Ada\'s "ü" \u2028 \U0001f600'


def shown(record: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what a record holds, without what differs from one run to the next."""
    return {name: one for name, one in record.items() if name not in {"last_modified", "schema"}}


def main(address: str, canary: str) -> None:
    client = kinto_http.Client(
        server_url=f"{address}/v1",
        auth=("ada", "password-of-ada"),
        bucket="clinic",
        collection="messages",
        retry=0,
    )
    found: dict[str, dict[str, Any]] = {}

    def check(name: str, run: Callable[[], Any]) -> None:
        try:
            found[name] = {"told": run()}
        except kinto_http.KintoException as error:
            found[name] = {
                "told": [error.response.status_code, error.response.json().get("message")]
            }

    def message(text: str, **more: object) -> dict[str, Any]:
        return {"senderId": "u-1", "subject": f"re {canary}", "content": text, **more}

    def of(answer: Any) -> Any:  # noqa: ANN401 - JSON
        return shown(answer["data"])

    def batch() -> list[Any]:
        with client.batch() as many:
            many.create_record(id="b1", data=message(f"{canary} b1"))
            many.patch_record(id="b1", data={"subject": f"{canary} changed"})
        return [shown(one["data"]) for one in many.results()]

    client.delete_records()
    text, second = f"{canary} {WORDS}", f"{canary} second"
    check("create", lambda: of(client.create_record(id="r1", data=message(text, pinned=1e2))))
    check("create another", lambda: of(client.create_record(id="r2", data=message(second))))
    check("create one that exists", lambda: of(client.create_record(id="r2", data=message("x"))))
    check("read", lambda: of(client.get_record(id="r1")))
    check("list", lambda: [shown(one) for one in client.get_records(_sort="id")])
    check("list in pages", lambda: [shown(o) for o in client.get_records(_sort="id", _limit=1)])
    check("select by a member", lambda: len(client.get_records(senderId="u-1", _sort="id")))
    some = {"_fields": "content", "_sort": "id"}
    check("some members", lambda: [shown(one) for one in client.get_records(**some)])
    changed = message(f"{canary} changed")
    check("update", lambda: of(client.update_record(id="r1", data=changed)))
    patch = {"subject": f"{canary} patched"}
    check("patch", lambda: of(client.patch_record(id="r1", data=patch)))
    old = {"id": "r1", "last_modified": 1, **changed}
    check("update what has changed", lambda: of(client.update_record(data=old, if_match=1)))
    check("batch", batch)
    check("not found", lambda: of(client.get_record(id="none")))
    check("an invalid record", lambda: of(client.create_record(data={"id": "_x", "content": text})))
    check("search in a text", lambda: [shown(o) for o in client.get_records(like_content=canary)])
    check("delete", lambda: shown(client.delete_record(id="r2"))["deleted"])
    sys.stdout.write(json.dumps(found))


main(*sys.argv[1:])

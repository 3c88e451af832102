"""Run cases of the suite, in the suite's own environment; print how each of them went, as JSON.

`cases.py client PORT [CASE ...]` is the client of a server at that port, `cases.py server PORT
[CASE ...]` the server there of a client. A case is an id or a pattern such as `1.*`; none is all.
"""

from __future__ import annotations

import asyncio
import json
import sys

from kosoku import (  # type: ignore[import-not-found]  # only in its own environment
    FailureError,
    run_fuzzingclient,
    run_fuzzingserver,
)

AT_ONCE = 4


async def main(side: str, port: int, cases: list[str]) -> None:
    """Run and print."""
    try:
        if side == "client":
            results = await run_fuzzingclient(
                f"ws://127.0.0.1:{port}/", cases or None, None, concurrency=AT_ONCE
            )
        else:
            server = run_fuzzingserver(cases or None, None, host="127.0.0.1", port=port)
            async with server as running:
                sys.stderr.write("the suite listens\n")
                results = await running.get_result()
    except FailureError as failure:
        results = failure.results
    told = {
        one.case_id: "passed"
        if one.passed
        else f"{one.behavior.value}, {one.behavior_close.value}: {one.result} {one.result_close}"
        for one in results
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))

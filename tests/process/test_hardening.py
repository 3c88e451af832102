from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, json, os, resource
from proxy.process.hardening import harden, unguarded

assert "PR_SET_DUMPABLE" in unguarded()
done = harden()
print(json.dumps({
    "fields": done.fields(),
    "limit": resource.getrlimit(resource.RLIMIT_CORE),
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "umask": oct(os.umask(0)),
    "unguarded": unguarded(),
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hardened_process_can_neither_be_dumped_nor_read() -> None:
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )

    found = json.loads(done.stdout)
    assert found["limit"] == [0, 0]
    assert found["dumpable"] == 0
    assert found["umask"] == "0o77"
    assert found["unguarded"] == []
    assert found["fields"] == {
        "core_dumps": False,
        "dumpable": False,
        "umask": "077",
        "missing": None,
    }

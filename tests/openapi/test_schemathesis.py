"""The OpenAPI document held against a running server by schemathesis, in an environment of its own.

Left out are what does not end (`/v1/status/follow`), the files of the page, and two checks: that
requests with wrong credentials get 401 (they get 429 after ten, and test_auth_matrix.py asks for
more), and that whatever fits the schemas is taken (what is printable, or a use that fits its key,
no schema says).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from proxy.keys.policy import PAIR_SECONDS

from .rig import ALL, admin

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-openapi" / "bin"
DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"
_OPTIONS = (
    *("--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"),
    *("--exclude-checks", "ignored_auth,positive_data_acceptance"),
    *("--exclude-path-regex", r"^/(v1/status/follow|page\..*|icon\..*)?$"),
    # Less than a caller may; above it, everything would be 429.
    *("--rate-limit", "45/s", "--warnings", "off"),
    # A key pair is made with a low priority, and has 60 s: on a busy machine it takes above 10.
    *("--request-timeout", str(PAIR_SECONDS + 10)),
)

_CONFIGURATION = """\
[checks.negative_data_rejection]
expected-statuses = [
    "400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx",
]
"""
"""Its own, and 413: what is generated may be longer than a body may be."""


@pytest.mark.acceptance
def test_the_document_is_valid() -> None:
    done = subprocess.run(  # noqa: S603 - a tool of the tests
        [TOOLS / "openapi-spec-validator", DOCUMENT], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("examples", "least"), [(1, 500), pytest.param(150, 3000, marks=pytest.mark.slow)]
)
async def test_no_answer_is_undocumented_and_none_is_a_failure(
    tmp_path: Path, examples: int, least: int
) -> None:
    (tmp_path / "schemathesis.toml").write_text(_CONFIGURATION)
    with admin(tmp_path) as ours:
        await ours.served.event("server.ready")
        done = subprocess.run(  # noqa: ASYNC221, S603 - a tool of the tests, and nothing else runs
            [
                *(TOOLS / "schemathesis", "run", f"{ours.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {ALL}"),
                *("--max-examples", str(examples), *_OPTIONS),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        failures = [one for one in ours.served.events if one["event"] == "exception.unhandled"]
    made = re.search(r"(\d+) generated", done.stdout)

    assert (done.returncode, failures) == (0, []), done.stdout[-5000:]
    assert made is not None
    print(f"{made[1]} cases")  # noqa: T201 - the figure is for who runs it
    assert int(made[1]) >= least

"""Where each test runs: in `./dev test`, which is what CI runs, or in a part of `./dev nightly`.

CI runs every test under tests/ that no part takes: a new folder is in CI until somebody moves it.
A suite moves back into CI when it alone has found a defect twice (CONTRIBUTING.md).

Tests marked `slow` run in the parts whose selection says so and in the long forms of the scorecard;
those of no row of it only by `./dev test PATH -m slow`.

`python -m tests.parts` prints the folders and files of tests that CI runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[1]
Form = Literal["native", "python"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Tests under `paths`, but not under `without`; those marked `slow` only if `slow` says so."""

    paths: tuple[str, ...]
    without: tuple[str, ...] = ()
    slow: bool = False

    def beside(self) -> list[str]:
        """Return what pytest is told to run those that may run beside each other."""
        left_out = [f"--ignore={one}" for one in self.without]
        return [
            *self.paths,
            *left_out,
            "-m",
            "not timing" if self.slow else "not slow and not timing",
            "-p",
            "tests.heap",
        ]

    def alone(self) -> list[str]:
        """Return what pytest is told to run those marked `timing`; nothing if there are none."""
        files = [one for path in self.paths for one in _files(path) if not self._leaves_out(one)]
        timed = [one for one in files if "mark.timing" in (ROOT / one).read_text(encoding="utf-8")]
        return [*timed, "-m", "timing" if self.slow else "timing and not slow"] if timed else []

    def _leaves_out(self, file: str) -> bool:
        return any(file == one or file.startswith(f"{one}/") for one in self.without)


@dataclass(frozen=True, slots=True)
class Fewer(Selection):
    """Tests whose laws are tried on fewer examples; parts of the nightly try all of them."""

    def beside(self) -> list[str]:
        """Return what pytest is told to run those that may run beside each other."""
        return [*Selection.beside(self), "-p", "tests.fewer"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of `./dev nightly`: tests, or the arguments of a command of ./dev, in one form.

    `minutes` is about what it takes on two processors that do nothing else. `loads` are paths of
    the repository that it reads beside `COMMON`, its tests and what those import. What is `named`
    runs only when it is named.
    """

    name: str
    minutes: float
    runs: Selection | tuple[str, ...]
    loads: tuple[str, ...] = ()
    form: Form = "native"
    named: bool = False


COMMON: Final = (
    "config",
    "dev",
    "native",
    "proxy",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "tests/conftest.py",
    "tests/suite.py",
    "tests/warm.py",
)
"""What every part loads."""
MOVED: Final = (
    Part("acceptance", 5, Selection(("tests/acceptance",), slow=True), ("README.md", "docs")),
    Part("searches", 30, Selection(("tests/searches",)), ("docs", "tests/acceptance")),
    Part("bypass", 1, Selection(("tests/bypass",)), ("tests/vectors",)),
    Part("browser", 1, Selection(("tests/browser",))),
    Part("interop", 1, Selection(("tests/interop",)), ("README.md", "docs", "tests/vectors")),
    Part(
        "pages",
        5,
        Selection(("tests/pages", "tests/site")),
        ("Dockerfile", "README.md", "deploy", "docs", "helm"),
    ),
    # A million values, and every sentence of Python's documentation.
    Part("leakage", 2, Selection(("tests/leakage",))),
    Part("drills", 20, Selection(("tests/drills",)), ("docs",)),
    Part(
        "guards", 3, Selection(("tests/guards",)), ("tests/contracts", "tests/keys", "tests/redis")
    ),
    Part(
        "chart",
        1,
        Selection(("tests/chart", "tests/cluster")),
        ("Dockerfile", "deploy", "docs", "helm"),
    ),
    Part("demo", 1, Selection(("tests/cli/commands/test_demo.py",))),
    Part(
        "key-services",
        3,
        Selection(
            (
                "tests/keys/keyring/roots/test_outage.py",
                "tests/keys/keyring/roots/test_vault_compose.py",
                "tests/keys/keyring/roots/test_vault_page.py",
                "tests/keys/keyring/roots/test_vault_serve.py",
                "tests/keys/keyring/roots/test_weight.py",
            )
        ),
        ("deploy", "docs"),
    ),
    # Fleets, Sentinels and clusters whose clocks, keyrings and masters change.
    Part(
        "outages",
        5,
        Selection(
            (
                "tests/redis/test_clock.py",
                "tests/redis/test_keyrings.py",
                "tests/redis/test_operator.py",
                "tests/redis/test_outages.py",
                "tests/redis/test_pending.py",
                "tests/redis/test_rotations.py",
                "tests/redis/test_sentinel.py",
            )
        ),
    ),
    # Runs beside writers and under kills, in real databases.
    Part(
        "migration-kills",
        3,
        Selection(
            (
                "tests/migration/test_databases.py",
                "tests/migration/test_index_beside_writers.py",
                "tests/migration/test_kills.py",
                "tests/migration/test_workers.py",
            )
        ),
        ("tools/bench",),
    ),
    # Leases that end, a ladder of many messages, a backend beyond its capacity, a real Prometheus,
    # sockets and streams in a drain (CI drains under messages, tests/scenarios/test_process.py).
    Part(
        "long-scenes",
        2,
        Selection(
            (
                "tests/scenarios/test_drain.py",
                "tests/scenarios/test_ladder.py",
                "tests/scenarios/test_root_memory.py",
                "tests/telemetry/prometheus/test_scraped.py",
                "tests/traffic/test_overloaded_backend.py",
            )
        ),
        ("deploy", "docs", "helm", "tools/bench"),
    ),
    # All meshes with each interception and order of rules, and proxies that come late.
    Part(
        "meshes",
        3,
        Selection(("tests/injector/test_mesh.py", "tests/injector/test_late_proxy.py"), slow=True),
    ),
    # A fault at every wait of every scene, and the times of refusals: minutes of CPU time.
    Part(
        "faults",
        3,
        Selection(("tests/faults/test_fail_closed.py", "tests/faults/test_oracle.py")),
    ),
    Part("bench-cases", 2, Selection(("tests/bench",)), ("docs", "tools/bench")),
    Part("linear", 3, Selection(("tests/linear",))),
    Part("memory", 3, Selection(("tests/bombs", "tests/flat", "tests/idle")), ("docs",)),
    Part("openapi", 2, Selection(("tests/openapi",)), ("docs",)),
    Part("conformance", 1, Selection(("tests/conformance",))),
    Part("endtoend-fuzz", 1, Selection(("tests/endtoend_fuzz",)), ("tests/vectors",)),
    Part(
        "release",
        1,
        Selection(("tests/release",)),
        (
            "CHANGELOG.md",
            "deploy",
            "docs",
            "helm",
            "requirements-build.lock",
            "tools/docker",
            "tools/release",
        ),
    ),
    Part("fuzz-cases", 1, Selection(("tests/fuzz_backends",)), ("tests/vectors", "tools/fuzz")),
    Part("soak-cases", 1, Selection(("tests/soak",)), ("tools/scorecard", "tools/soak")),
)
"""The parts that have the tests that CI leaves out."""
_MOVED: Final = tuple(
    path for one in MOVED if isinstance(one.runs, Selection) for path in one.runs.paths
)

CORE: Final = Fewer(("tests/core",))
LAWS: Final = Fewer(
    (
        "tests/contracts",
        "tests/core/transform",
        "tests/core/leaves",
        "tests/core/planning",
        "tests/core/test_json_suite.py",
        "tests/core/test_laws.py",
        "tests/core/test_vectors.py",
        "tests/core/test_wycheproof.py",
        "tests/keys/test_wire_vectors.py",
    ),
    # Rows of databases, what processes agree on by a store, and who makes what goes out: no leaf
    # reads these. And what compares both forms of a leaf, whichever of them is chosen: CI has that
    # with the core.
    (
        "tests/contracts/test_fences.py",
        "tests/contracts/test_leases.py",
        "tests/contracts/test_meetings.py",
        "tests/contracts/test_migration_sources.py",
        "tests/contracts/test_participants.py",
        "tests/contracts/test_roots.py",
        "tests/contracts/test_store_contract.py",
        "tests/core/transform/test_forwardable.py",
        "tests/core/leaves/test_closed.py",
        "tests/core/leaves/test_finder.py",
        "tests/core/leaves/test_forms.py",
        "tests/core/leaves/test_fuzz_targets.py",
        "tests/core/leaves/test_small_inputs.py",
    ),
)
"""What CI runs in the Python form too: leaves, contracts, vectors and the laws of values.

`python-core` and `python-suites` run all of it, with all examples.
"""
_BESIDE: Final = ("tests/core", *_MOVED)
SUITES: Final = Fewer(("tests",), _BESIDE)
"""What CI runs beside the core."""
TIMED: Final = Selection(("tests",), _MOVED)
"""Where CI takes the tests of time from."""

_LONG: Final = ("--long", "--resume")
_ROWS: Final = "3,7,13,14,16,17,18,19,20,21,22,25,28,31,32,34,35,38"
"""The rows of the scorecard whose long forms take minutes; 24 is the soak."""
PARTS: Final = (
    *MOVED,
    # A million mutated tokens, and an issuer that is away for ten minutes.
    Part("callers", 5, Selection(("tests/traffic/callers",), slow=True)),
    Part("issuer-away", 11, Selection(("tests/interop/test_issuers.py",), slow=True), named=True),
    Part(
        "description", 1, Selection(("tests/description/test_examples.py",), slow=True), ("docs",)
    ),
    # The way of paging and the databases that CI leaves out.
    Part(
        "migration-ways",
        4,
        Selection(
            (
                "tests/migration/test_http.py",
                "tests/migration/test_keepers.py",
                "tests/migration/test_manners.py",
            ),
            slow=True,
        ),
    ),
    # All forms of a scene of which CI has one.
    Part(
        "scenes",
        5,
        Selection(
            (
                "tests/cli/commands/test_rule_tests.py",
                "tests/contracts/test_leases.py",
                "tests/injector/test_webhook.py",
                "tests/redis/test_losses.py",
                "tests/redis/test_names.py",
                "tests/redis/test_records.py",
                "tests/scenarios/test_audit.py",
                "tests/scenarios/test_crashes.py",
                "tests/scenarios/test_end_to_end_lease.py",
                "tests/scenarios/test_exhaustion.py",
                "tests/scenarios/test_pins.py",
                "tests/scenarios/test_root_canaries.py",
                "tests/scenarios/test_roots.py",
                "tests/scrubbing/test_ladder_canaries.py",
            ),
            slow=True,
        ),
    ),
    # The laws that CI tries on fewer examples; `python-suites` has the others beside the core.
    Part(
        "laws",
        8,
        Selection(
            (
                "tests/config/schema/test_schema_and_validate.py",
                "tests/config/test_robustness.py",
                "tests/contracts/test_formats.py",
                "tests/core",
                "tests/description/test_law.py",
                "tests/faults/test_cuts.py",
                "tests/injector/test_inject.py",
                "tests/keys/fleet/test_fleet_model.py",
                "tests/scenarios/test_explain_forms_and_streams.py",
                "tests/scenarios/test_explain_is_serve.py",
                "tests/smuggling/test_what_goes_out.py",
                "tests/telemetry/logs/test_scrub.py",
                "tests/traffic/bodies",
                "tests/traffic/http1",
                "tests/traffic/websocket",
            )
        ),
        ("docs", "tests/vectors"),
    ),
    Part(
        "python-core",
        3,
        Selection(("tests/core",)),
        ("docs", "tests/vectors", "tools/fuzz"),
        form="python",
    ),
    Part(
        "python-suites",
        5,
        Selection(("tests",), _BESIDE),
        ("CHANGELOG.md", "Dockerfile", "README.md", "deploy", "docs", "helm", "tools/docker"),
        form="python",
    ),
    # Those of the moved suites whose messages reach the leaves and that CI ran in both forms.
    Part(
        "python-moved",
        6,
        Selection(
            (
                "tests/bombs",
                "tests/conformance",
                "tests/endtoend_fuzz",
                "tests/interop",
                "tests/linear",
            )
        ),
        ("README.md", "docs", "tests/vectors"),
        form="python",
    ),
    # Tests marked `slow` that no other part and no row of the scorecard runs, and their files.
    Part(
        "slow",
        10,
        Selection(
            (
                "tests/browser/test_html_standard.py",
                "tests/browser/test_opened_text.py",
                "tests/chart/test_image.py",
                "tests/core/test_frame_memory.py",
                "tests/faults/test_oracle.py",
                "tests/keys/keyring/roots/test_vault_serve.py",
                "tests/linear/test_linear.py",
                "tests/redis/test_shapes.py",
                "tests/release/test_bare_debian.py",
                "tests/release/test_systemd.py",
                "tests/scenarios/test_passphrase.py",
            ),
            slow=True,
        ),
        ("Dockerfile", "README.md", "deploy", "docs", "helm", "tools/docker"),
    ),
    Part("python-demo", 1, ("demo", "--check"), form="python"),
    Part("fuzz", 10, ("fuzz", "600"), ("tests/vectors", "tools/fuzz")),
    Part("fuzz-native", 10, ("fuzz-native", "600"), ("tests/vectors", "tools/fuzz")),
    Part("fuzz-backends", 10, ("fuzz-backends", "600"), ("tools/fuzz",)),
    Part("bench", 2, ("bench", "--quick"), ("tools/bench",)),
    # A million rows and less, beside an application and under kills.
    Part(
        "migration-million",
        3,
        ("bench-migration", "postgresql-killed", "mariadb-killed", "sqlite-killed"),
        ("tools/bench",),
    ),
    Part("chaos", 5, ("chaos", "--seconds", "10"), ("tools/chaos",)),
    Part("flat", 5, ("flat", "20000"), ("tests/flat", "tools/scorecard")),
    Part("scorecard", 29, ("scorecard", *_LONG, "--only", _ROWS), ("docs", "tests", "tools")),
    # Runs only when named: what takes hours.
    Part(
        "scorecard-hours",
        240,
        ("scorecard", *_LONG, "--except", f"{_ROWS},24"),
        ("docs", "tests", "tools"),
        named=True,
    ),
    Part("soak", 30, ("soak", "0.5"), ("tools/soak",), named=True),
)


def _files(path: str) -> list[str]:
    """Return the files of tests under a path."""
    found = [ROOT / path] if path.endswith(".py") else sorted((ROOT / path).rglob("test_*.py"))
    return [str(one.relative_to(ROOT)) for one in found]


def in_ci() -> Iterator[str]:
    """Give the folders, and the files beside them, of the tests that CI runs."""
    for one in sorted((ROOT / "tests").iterdir()):
        path = f"tests/{one.name}"
        if path not in _MOVED and (one.name.startswith("test_") or any(one.rglob("test_*.py"))):
            yield path


if __name__ == "__main__":
    sys.stdout.write("\n".join(in_ci()) + "\n")

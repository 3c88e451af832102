"""The items: a number, a name, a target, and what measures it, if anything does yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["tests", "fuzz", "timing", "missing"]


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the card.

    `what` are the paths of tests whose passing is the item, with `-k` words in `only`. `short` says
    what the short form does where the target asks for more, and `less` what both forms lack: then
    passing is not enough to meet the target.
    """

    number: int
    name: str
    target: str
    kind: Kind = "missing"
    what: tuple[str, ...] = ()
    only: str = ""
    short: str = ""
    less: str = ""


ITEMS: Final = (
    Item(
        1,
        "Fuzzing of what reads bytes",
        "100 M runs a release; 0 crashes, 0 hangs above 1 s",
        "fuzz",
        short="60 s",
    ),
    Item(2, "Bytes changed end to end, through the live proxy", "5 M requests; 0 leaks"),
    Item(
        3,
        "Smuggling corpora, whole, byte by byte and cut in two",
        "0 escapes, 0 differing views",
        "tests",
        ("tests/smuggling",),
        short="a part of the cuts",
    ),
    Item(
        4,
        "Path, method and body spellings before real backends",
        "0 handlers run with plaintext",
        "tests",
        ("tests/bypass",),
    ),
    Item(
        5,
        "JSON test suite, and documents at random",
        "0 `n_` accepted; all else equal; 10^6 documents",
        "tests",
        ("tests/core/test_json_suite.py", "tests/core/test_laws.py"),
        less="60 documents a law",
    ),
    Item(6, "WebSocket conformance, both legs", "0 failed"),
    Item(
        7,
        "httplint over our responses",
        "nothing beyond the bare backend's",
        "tests",
        ("tests/traffic/test_lint.py",),
    ),
    Item(8, "Redis killed for 60 s", "0 plaintext; cached sessions >= 99 %"),
    Item(9, "Redis frozen, read-only, full, cut off", "0 plaintext; p99 <= deadline + 50 ms"),
    Item(10, "Redis records evicted, swapped, rolled back, flipped", "0 wrong opens"),
    Item(
        11,
        "kill -9 of a worker under load",
        "lost <= in flight; 0 plaintext; 0 doubled",
        "tests",
        ("tests/scenarios/test_process.py",),
        "killed_workers",
        less="3 kills in some seconds, not 10 minutes at 500 a second",
    ),
    Item(
        12,
        "SIGTERM under load, WebSockets and streams",
        "500 a second, 1,000 WebSockets; 0 failed",
        "tests",
        ("tests/scenarios/test_process.py", "tests/traffic"),
        "drain",
        less="8 clients, and single WebSockets and streams",
    ),
    Item(
        13,
        "A thousand reloads under load, one in ten broken",
        "0 dropped, 0 plaintext, 0 mixed",
        "tests",
        ("tests/scenarios/test_reload.py",),
        "many_reloads",
        short="200 reloads",
    ),
    Item(14, "Rotations of keys under load, two sidecars", "0 errors"),
    Item(15, "Mixed versions; tokens of every release", "all open"),
    Item(
        16,
        "Upstream cut at every byte of 2 KiB, reset, early answer",
        "always seen to be cut; 0 reused",
        "tests",
        ("tests/faults/test_cuts.py",),
        "response_that_was_cut or answer_before",
    ),
    Item(
        17,
        "Client cut at every byte of 2 KiB; aborts in mid-download",
        "never whole; 10^4 aborts leave nothing",
        "tests",
        ("tests/faults/test_cuts.py",),
        "upload_that_was_cut or mid_download",
        short="10^3 aborts",
    ),
    Item(
        18,
        "POSTs where idle connections end",
        "10^4; 0 failed, 0 doubled",
        "tests",
        ("tests/faults/test_cuts.py",),
        "post_is_lost",
        short="480 POSTs",
    ),
    Item(
        19,
        "Streams to and from slow readers",
        "1 GiB; <= 8 MiB more memory",
        "tests",
        ("tests/faults/test_cuts.py",),
        "slow_reader",
        short="64 MiB",
    ),
    Item(20, "Bombs: compressed, nested, many members, tiny chunks", "<= 64 MiB, <= 1 s each"),
    Item(21, "10,000 idle WebSockets", "<= 40 KiB each"),
    Item(
        22,
        "Good clients beside slow ones",
        "2,000 slow; >= 99.9 % served",
        "tests",
        ("tests/faults/test_cuts.py",),
        "beside_slow",
        short="200 slow",
    ),
    Item(23, "Canaries of 12 kinds in 10^7 log lines", "0 found"),
    Item(24, "Soak of 24 h with faults", "no slope, 0 unexplained 5xx"),
    Item(
        25,
        "An exception at every wait and call of a request",
        "100 % of points fail closed",
        "tests",
        ("tests/faults/test_fail_closed.py", "tests/faults/test_only_forwardables.py"),
    ),
    Item(26, "Mutation testing of gate and rules", ">= 90 % killed"),
    Item(27, "Admin API: schema and authorisation", "0 success, 0 5xx"),
    Item(
        28,
        "Start-up in 20 broken environments",
        "all refuse",
        "tests",
        ("tests/scenarios/test_startup.py",),
        "broken_environment",
    ),
    Item(
        29,
        "Failed opens told apart by time",
        "10^5 samples, 4 causes: |t| < 4.5",
        "timing",
        short="8,000 samples",
    ),
    Item(30, "Dependency floor, C extensions, SBOM", "enforced"),
)

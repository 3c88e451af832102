"""What a control group allows, read from folders as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.process.cgroup import memory_limit, processors


def group(folder: Path, membership: str, **files: str) -> tuple[Path, Path]:
    """Write files, whose names have `__` for `/` and `_` for `.` once, and return both places."""
    mount, own = folder / "cgroup", folder / "membership"
    mount.mkdir()
    own.write_text(membership)
    for name, text in files.items():
        path = mount / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return mount, own


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/\n", {"memoryDOTmax": "268435456"}, 268435456),
        ("0::/\n", {"memoryDOTmax": "max"}, None),
        ("0::/\n", {}, None),
        ("", {"memoryDOTmax": "5"}, None),
        # Above this, the kernel throttles the group until it has given memory back.
        ("0::/\n", {"memoryDOTmax": "268435456", "memoryDOThigh": "241591910"}, 241591910),
        ("0::/\n", {"memoryDOTmax": "268435456", "memoryDOThigh": "max"}, 268435456),
        # The tightest of the own group and those above it; one that is not here is passed over.
        ("0::/pod/box\n", {"pod__memoryDOTmax": "200", "pod__box__memoryDOTmax": "max"}, 200),
        ("0::/pod/box\n", {"memoryDOTmax": "300", "pod__box__memoryDOTmax": "400"}, 300),
        ("0::/kubepods/of/the/host\n", {"memoryDOTmax": "300"}, 300),
        ("4:memory:/\n0::/\n", {"memory__memoryDOTlimit_in_bytes": "700"}, 700),
        ("4:cpu,memory:/a\n", {"memory__a__memoryDOTlimit_in_bytes": "700"}, 700),
        ("4:memory:/\n", {"memory__memoryDOTlimit_in_bytes": "9223372036854771712"}, None),
        ("4:memory:/\n", {"memory__memoryDOTlimit_in_bytes": "odd"}, None),
    ],
)
def test_the_limit_of_memory(
    tmp_path: Path, membership: str, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(*group(tmp_path, membership, **files)) == limit


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpuDOTmax": "25000 100000"}, 0.25),
        ("0::/\n", {"cpuDOTmax": "max 100000"}, None),
        ("0::/a\n", {"a__cpuDOTmax": "200000 100000", "cpuDOTmax": "150000 100000"}, 1.5),
        (
            "3:cpu,cpuacct:/\n",
            {"cpu__cpuDOTcfs_quota_us": "50000", "cpu__cpuDOTcfs_period_us": "100000"},
            0.5,
        ),
        (
            "3:cpu:/\n",
            {"cpu__cpuDOTcfs_quota_us": "-1", "cpu__cpuDOTcfs_period_us": "100000"},
            None,
        ),
        ("0::/\n", {}, None),
    ],
)
def test_the_quota_of_processor_time(
    tmp_path: Path, membership: str, files: dict[str, str], quota: float | None
) -> None:
    assert processors(*group(tmp_path, membership, **files)) == quota


def test_here_it_is_read_without_an_error() -> None:
    for found in (memory_limit(), processors()):
        assert found is None or found > 0

"""What lists cost is measured of messages that are sealed, in each world, on the usual way."""

from __future__ import annotations

import pytest

from tools.bench.works import works
from tools.bench.worlds import WORKS, compared, sealing


@pytest.mark.parametrize("world", ["pass", "refuse", "seal"])
@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("new", [False, True])
def test_what_is_measured_is_sealed(name: str, world: str, new: bool) -> None:  # noqa: FBT001 - a case
    work = works("c-1842")[name]

    changed = sealing(work, world, new=new)()

    body = getattr(changed, "body", None)
    assert body is not None
    assert len(body) > len(work.body)
    assert not [one for one in work.secrets if one.encode() in body]


def test_what_does_more_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.worlds.TURNS", 8)

    base, same, more = compared(*(lambda n=n: sum(range(n)) for n in (1000, 1000, 20_000)))

    assert base > 0
    assert float(more.partition(" ")[0]) > max(base, abs(float(same.partition(" ")[0])))

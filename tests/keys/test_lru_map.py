from __future__ import annotations

from proxy.keys.lru_map import BoundedMap


def test_what_was_unused_for_longest_is_forgotten() -> None:
    kept: BoundedMap[str, int] = BoundedMap(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert [kept.get(key) for key in "abc"] == [1, None, 3]
    assert len(kept) == 2


def test_what_is_to_be_forgotten_is_gone_and_may_be_gone_already() -> None:
    kept: BoundedMap[str, int] = BoundedMap(2)
    kept.put("a", 1)
    kept.forget("a")
    kept.forget("a")
    assert (kept.get("a"), len(kept)) == (None, 0)


def test_what_is_dropped_or_cleared_is_gone() -> None:
    kept: BoundedMap[str, int] = BoundedMap(2)
    kept.put("a", 1)
    kept.clear()
    assert kept.get("a") is None


def test_what_is_spent_is_dropped_in_steps_and_what_goes_in_between_is_no_matter() -> None:
    entries: BoundedMap[int, int] = BoundedMap(2000)
    for number in range(1000):
        entries.put(number, number)
    steps = 0
    for _ in entries.dropping(lambda number: number % 2 == 0):
        steps += 1
        entries.forget(999)
    assert steps > 1
    assert entries.entries() == tuple(number for number in range(1, 999, 2))

"""A dump of the store shows no graph: neither people and devices nor who talks to whom."""

from __future__ import annotations

from tests.keys.participants.builders import a_public_key

from .builders import a_fleet


async def test_a_dump_shows_neither_participants_nor_who_seals_for_whom() -> None:
    (one,) = await a_fleet()
    await one.seal(b"hello", "alice", ["bob"])
    people = [one.people.name(who) for who in ("alice", "bob")]
    keys = [a_public_key(f"{who}-enc") for who in ("alice", "bob")]
    shown = [
        *people,
        *(key.kid for key in keys),
        *(key.to_jwk()["n"][:40] for key in keys),
        *("alice", "clinic", "phone", "audience", "issuer", "recipients"),
        *('"bob"', '"c1"', '"enc"'),  # random bytes in base64 have short texts now and then
    ]
    dumped = await one.store.dump()
    assert set(people) <= {place.partition(":")[0] for place in dumped}
    assert len([place for place in dumped if ":k:" in place]) == 2  # the package and the list
    for place, record in dumped.items():
        assert [text for text in shown if text.encode() in record] == [], place

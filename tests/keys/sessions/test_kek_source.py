"""Sessions ask for KEKs by tenant, and need nothing else for a source with one for each."""

from __future__ import annotations

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined, Name
from proxy.core.crypto.token import KeyId, decode
from proxy.core.errors import OpenFailed
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring.kek_source import OneKeyring, TenantKeks
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions import sessions as module
from proxy.keys.sessions.durable import DurableSessions, durable_session
from proxy.keys.sessions.settings import SessionMode

from ..builders import NOW, World, a_keyring, a_world, some_bytes

KEYRING = a_keyring("a", "b", "c")
TENANTS: dict[Name | None, Keyring] = {
    "acme": KEYRING.promote("a"),
    "bolt": KEYRING.promote("b"),
    Joined("list", ("acme", "east")): KEYRING.promote("c"),
    None: KEYRING,
}
"""What seals for a tenant; the others open, so that only the source tells them apart."""


class OfTenants(OneKeyring):
    """A source with a KEK for each tenant."""

    def of(self, tenant: Name | None) -> TenantKeks:
        return TENANTS[tenant]


@pytest.fixture
def _by_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OneKeyring", OfTenants)


def scope(tenant: Name | None) -> Scope:
    return Scope(tenant, "c1")


async def sealed(world: World, tenant: Name | None) -> tuple[bytes, Context]:
    context = Context(scope(tenant), "content")
    keys = await world.sessions.resolve(Needs({scope(tenant): 1}, frozenset()))
    return keys.sealing[scope(tenant)].seal(b"canary", context), context


@pytest.mark.usefixtures("_by_tenant")
async def test_each_tenant_is_sealed_for_under_its_own_kek() -> None:
    world = a_world(keyring=KEYRING)
    for tenant, keks in TENANTS.items():
        token, _ = await sealed(world, tenant)
        assert decode(token).key_id.kek_id == keks.primary.id


@pytest.mark.usefixtures("_by_tenant")
@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_what_a_tenant_sealed_opens_with_the_keks_of_that_tenant(mode: SessionMode) -> None:
    world = a_world(keyring=KEYRING, mode=mode)
    for tenant in TENANTS:
        token, context = await sealed(world, tenant)
        world.sessions._forget()
        decoded = decode(token)
        need = scope(tenant), decoded.key_id
        keys = await world.sessions.resolve(Needs({}, frozenset({need})))
        session = keys.opening[need]
        assert session.open(decoded, context, int(world.time.now)) == b"canary"


@pytest.mark.parametrize("limit", [1, 10])
def test_one_id_may_name_a_kek_of_each_tenant(limit: int) -> None:
    keks = {"acme": a_keyring(), "bolt": a_keyring()}

    class Two(OneKeyring):
        def of(self, tenant: Name | None) -> TenantKeks:
            return keks[str(tenant)]

    sessions = DurableSessions(Two(keks["acme"]), limit, random=some_bytes)
    sid = NOW.to_bytes(4) + bytes(8)
    for tenant, other in (("acme", "bolt"), ("bolt", "acme"), ("acme", "bolt")):
        context = Context(scope(tenant), "content")
        session, refusal = sessions.find(scope(tenant), KeyId(sid, kek_id="k1"), 0)
        assert refusal is None
        own, foreign = (
            durable_session(keks[whose].primary, sid, scope(tenant)).seal(b"canary", context)
            for whose in (tenant, other)
        )
        assert session.open(decode(own), context, NOW) == b"canary"
        with pytest.raises(OpenFailed):
            session.open(decode(foreign), context, NOW)

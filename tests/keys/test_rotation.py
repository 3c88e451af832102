"""A law for every history: each token of a KEK that is not disabled opens, no other does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import Form, decode
from proxy.core.values.key_needs import Needs
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.sessions import session_control

from .builders import NOW, World, a_world, seal_need, some_bytes

SCOPES = st.sampled_from([Scope("t", "1"), Scope("t", "2")])


@dataclass(frozen=True)
class Sealed:
    """A token, and the scope and KEK under which it was sealed."""

    text: bytes
    context: Context
    kek_id: str


class Rotation(RuleBasedStateMachine):
    """One process that seals while its keyring and sessions change."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World = a_world()
        self.keyring = self.world.keyring
        self.tokens: list[Sealed] = []
        self.numbers = {kek.number for kek in self.keyring.keks}

    @rule(scope=SCOPES, form=st.sampled_from(["jwe", "short"]))
    def seal(self, scope: Scope, form: Form) -> None:
        keys = asyncio.run(self.world.sessions.resolve(seal_need(scope)))
        context = Context(scope, field="content")
        text = keys.sealing[scope].seal(b"hello", context, form=form)
        self.tokens.append(Sealed(text, context, self.keyring.primary.id))

    @rule()
    def add(self) -> None:
        # A mark alone may be the same for two KEKs: it has 20 bits.
        name = f"n{len(self.numbers)}"
        self._go_on(self.keyring.add(name, now=NOW, random=some_bytes, marked=True))
        number = self.keyring.keks[-1].number
        assert number not in self.numbers  # not even if its KEK was removed
        self.numbers.add(number)

    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        usable = [kek.id for kek in self.keyring.keks if kek.state != "disabled"]
        self._go_on(self.keyring.promote(data.draw(st.sampled_from(usable))))

    @precondition(lambda self: any(kek.state == "decrypt" for kek in self.keyring.keks))
    @rule(data=st.data())
    def disable(self, data: st.DataObject) -> None:
        idle = [kek.id for kek in self.keyring.keks if kek.state == "decrypt"]
        self._go_on(self.keyring.disable(data.draw(st.sampled_from(idle))))

    @precondition(lambda self: any(kek.state == "disabled" for kek in self.keyring.keks))
    @rule()
    def remove(self) -> None:
        disabled = next(kek.id for kek in self.keyring.keks if kek.state == "disabled")
        self._go_on(self.keyring.remove(disabled))

    @rule(scope=SCOPES)
    def rotate(self, scope: Scope) -> None:
        asyncio.run(session_control.rotate(self.world.sessions, scope))

    @rule(seconds=st.integers(1, 5000))
    def wait(self, seconds: int) -> None:
        self.world.time.advance(seconds)

    @invariant()
    def tokens_open_as_their_kek_allows(self) -> None:
        usable = {kek.id for kek in self.keyring.keks if kek.state != "disabled"}
        for sealed in self.tokens:
            token = decode(sealed.text)
            need = (sealed.context.scope, token.key_id)
            keys = self.world.sessions.resolve_warm(Needs({}, opens=frozenset({need})))
            assert keys is not None
            session = keys.opening.get(need)
            assert (session is not None) == (sealed.kek_id in usable)
            if session is not None:
                assert session.open(token, sealed.context, self.world.time()) == b"hello"
                self.world.sessions.remember({session: 1})

    def _go_on(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self.world.sessions.replace_keyring(self.keyring)


Rotation.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRotation = Rotation.TestCase

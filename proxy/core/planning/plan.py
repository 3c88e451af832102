"""A plan: what will be done to one message, and the keys that it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..compiled.block import CompiledBlock
from ..http.digests import Digests
from ..http.message import Head
from ..values.key_needs import Needs
from ..values.table import Values


@dataclass(slots=True)
class Plan:
    """What will be done to one message: its values, and the keys that they need.

    `body` is what the values lie in, those of the head aside; `decoded` says that it has been
    decompressed, `cut` that it has lost tags. `varies` are the request headers that a response
    depends on. If the body `flows`, `body` is only its beginning, and all of it must fit `digests`;
    `form` changes a multipart form part by part. `settle` is to be called once the plan has been
    applied: until then another one may be made for the same message. `records` are how many records
    there are in a piece of a stream, sentinels aside. `for_caller`
    says that its rule tells callers apart; the message must be carried out before `until`, in
    seconds since 1970, None: whenever.
    """

    head: Head
    body: bytes
    compiled: CompiledBlock | None
    values: Values
    needs: Needs
    ruled: bool
    varies: tuple[bytes, ...] = ()
    decoded: bool = False
    cut: bool = False
    flows: bool = False
    digests: Digests | None = None
    form: PlannedFlow | None = None
    settle: Callable[[], None] | None = None
    records: int = 0
    for_caller: bool = False
    until: float | None = None


class Unplanned(Protocol):
    """Some of a body that can be planned now. All that it does may take long."""

    body: bytes

    def plan(self) -> Plan | None:
        """Return a plan, once; None where there is nothing to do yet. Raises MessageError."""

    def halves(self) -> tuple[Unplanned, ...]:
        """Return what to plan in its place where it failed; nothing where it is the smallest.

        So what lies before the fault may go on.
        """


Step = bytes | Plan | Unplanned


class PlannedFlow(ABC):
    """Gives bytes that may go on as they are, and plans; what these become is for `apply`.

    What is still to be planned comes as such, for whoever has the time for it. Each step must be
    carried out before the next one is asked for. After an error nothing more comes: whoever sends
    the pieces on must let their receiver see that they were cut.
    """

    __slots__ = ()

    @property
    def holds(self) -> bool:
        """Whether nothing of what has come out may go on yet."""
        return False

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[Step]:
        """Take bytes; yield what there is to do with them. Raises MessageError."""

    @abstractmethod
    def end(self) -> Iterator[Step]:
        """Learn that the body ends here; yield what is left to do. Raises MessageError."""

"""What is prepared for the head of a message, with the keys that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.flat_json import Kept
from proxy.core.formats.body_format import Kind
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.planning.exchange import Exchange, Messages
from proxy.core.planning.treatment import ResponseTreatment
from proxy.core.transform import (
    Changed,
    Lacking,
    Prepared,
    PreparedMessages,
    PreparedRecords,
    WarmKeys,
    prepare_messages,
    prepare_records,
    prepare_request,
    prepare_response,
)


@dataclass
class Changing:
    """Changes messages with keys of its own."""

    prepared: Prepared | PreparedMessages | PreparedRecords | Changed
    keys: WarmKeys

    def change(
        self, body: bytes, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | None:
        prepared = self.prepared
        if isinstance(prepared, Changed):
            return prepared
        if isinstance(prepared, Prepared):
            done = prepared.change(body, self.keys, now, kept, any_number=any_number)
            return None if isinstance(done, Lacking) else done
        return prepared.change(body, self.keys, now)


@dataclass
class Preparing:
    """Prepares what is done to messages whose keys come from one source."""

    keys: WarmKeys

    def _with_keys(
        self, prepared: Prepared | PreparedMessages | PreparedRecords | Changed | None
    ) -> Changing | None:
        return None if prepared is None else Changing(prepared, self.keys)

    def request(self, exchange: Exchange) -> Changing | None:
        return self._with_keys(prepare_request(exchange))

    def response(
        self, exchange: Exchange, treatment: ResponseTreatment, head: ResponseHead
    ) -> Changing | None:
        return self._with_keys(prepare_response(exchange, treatment, head))

    def messages(self, messages: Messages, *, binary: bool) -> Changing | None:
        return self._with_keys(prepare_messages(messages, binary=binary))

    def records(
        self,
        exchange: Exchange,
        compiled: CompiledBlock,
        head: RequestHead | ResponseHead,
        kind: Kind,
    ) -> Changing | None:
        return self._with_keys(prepare_records(exchange, compiled, head, kind))

"""What is written in one turn of the loop is sent behind it, in order, and never lost by an end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from proxy.core.errors import Unopened
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.message_record import MessageRecord
from proxy.traffic.turns import Sending, WriteBuffer

from .ours import local, proxied
from .wire import Origin, connected, eventually, running


class Transport:
    """What a connection sends through."""

    def __init__(self, sent: list[tuple[str, bytes]], name: str) -> None:
        self._sent = sent
        self._name = name
        self.closing = False

    def write(self, data: bytes) -> None:
        self._sent.append((self._name, data))

    def is_closing(self) -> bool:
        return self.closing


class Broken(Transport):
    def write(self, data: bytes) -> None:
        raise RuntimeError


class Connection(Sending):
    def __init__(self, write_buffer: WriteBuffer, transport: Any) -> None:  # noqa: ANN401 - a stand-in
        super().__init__(write_buffer)
        self._transport = transport

    def write(self, data: bytes) -> None:
        self._put(data)


async def test_a_turn_is_sent_as_one_in_the_order_of_the_connections() -> None:
    sent: list[tuple[str, bytes]] = []
    write_buffer = WriteBuffer(asyncio.get_running_loop())
    one, other = (Connection(write_buffer, Transport(sent, name)) for name in ("one", "other"))
    one.write(b"a")
    other.write(b"b")
    one.write(b"c")
    assert sent == []
    await asyncio.sleep(0)
    assert sent == [("one", b"ac"), ("other", b"b")]
    one.write(b"d")
    await asyncio.sleep(0)
    assert sent[2:] == [("one", b"d")]


async def test_what_was_flushed_is_not_sent_again_and_an_end_swallows_the_rest() -> None:
    sent: list[tuple[str, bytes]] = []
    transport = Transport(sent, "one")
    connection = Connection(WriteBuffer(asyncio.get_running_loop()), transport)
    connection.write(b"a")
    connection.flush()
    await asyncio.sleep(0)
    assert sent == [("one", b"a")]
    connection.write(b"b")
    transport.closing = True
    await asyncio.sleep(0)
    assert len(sent) == 1


async def test_a_connection_that_cannot_send_keeps_back_no_other() -> None:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    sent: list[tuple[str, bytes]] = []
    write_buffer = WriteBuffer(loop)
    transports = [Broken(sent, "one"), Transport(sent, "two"), Transport(sent, "three")]
    told = Told(sent)
    for transport in transports:
        Connection(write_buffer, transport).write(b"a")
    write_buffer.report_behind(told, a_record("first"))
    for _ in range(3):
        await asyncio.sleep(0)

    assert sent == [("two", b"a"), ("three", b"a"), ("first", b"")]
    assert [type(one["exception"]) for one in unhandled] == [RuntimeError]


class Told:
    """Keeps in which batches messages were reported; fails for one that is called `bad`."""

    def __init__(self, sent: list[tuple[str, bytes]] | None = None) -> None:
        self.batches: list[list[str]] = []
        self._sent = sent if sent is not None else []

    def report(self, records: Sequence[MessageRecord]) -> None:
        names = [record.request_id for record in records]
        if "bad" in names:
            raise OSError
        self.batches.append(names)
        self._sent += [(name, b"") for name in names]


def a_record(name: str) -> MessageRecord:
    return MessageRecord(name, "in")


def one_that_did_not_open(name: str) -> MessageRecord:
    record = a_record(name)
    record.did_not_open([Unopened("tag", b"")])
    return record


async def test_messages_are_reported_together_behind_their_answers_and_each_once() -> None:
    sent: list[tuple[str, bytes]] = []
    write_buffer = WriteBuffer(asyncio.get_running_loop())
    connection = Connection(write_buffer, Transport(sent, "one"))
    told = Told(sent)

    connection.write(b"a")
    write_buffer.report_behind(told, a_record("first"))
    write_buffer.report_behind(told, a_record("second"))
    assert sent == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sent == [("one", b"a"), ("first", b""), ("second", b"")]
    write_buffer.report_behind(told, a_record("third"))  # nothing waits to be sent
    await asyncio.sleep(0)
    assert told.batches == [["first", "second"], ["third"]]


async def test_what_did_not_open_is_reported_before_the_message_behind_it() -> None:
    write_buffer = WriteBuffer(asyncio.get_running_loop())
    told = Told()
    for record in (a_record("a"), one_that_did_not_open("b"), a_record("c"), a_record("d")):
        write_buffer.report_behind(told, record)
    await asyncio.sleep(0)
    assert told.batches == [["a", "b"], ["c", "d"]]


async def test_messages_of_before_and_after_a_reload_keep_their_order() -> None:
    write_buffer = WriteBuffer(asyncio.get_running_loop())
    sent: list[tuple[str, bytes]] = []
    before, after = Told(sent), Told(sent)
    for told, name in ((before, "a"), (after, "b"), (before, "c")):
        write_buffer.report_behind(told, a_record(name))
    await asyncio.sleep(0)
    assert [name for name, _ in sent] == ["a", "b", "c"]


async def test_a_report_that_fails_keeps_no_other_from_being_told() -> None:
    loop = asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
    told = Told()
    write_buffer = WriteBuffer(loop)
    for record in (one_that_did_not_open("a"), one_that_did_not_open("bad"), a_record("b")):
        write_buffer.report_behind(told, record)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told.batches == [["a"], ["b"]]
    assert len(failed) == 1


async def test_what_is_unreported_when_the_listener_closes_is_reported() -> None:
    write_buffer = WriteBuffer(asyncio.get_running_loop())
    told = Told()
    write_buffer.report_behind(told, a_record("last"))
    write_buffer.report()
    assert told.batches == [["last"]]


async def test_a_half_closed_client_gets_the_answer_that_waits() -> None:
    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    async with running(Origin()) as origin, proxied(local(origin.port)) as ours:
        for _ in range(20):
            async with connected(ours.port) as client:
                client.send(request)
                client.writer.write_eof()
                assert (await client.rest()).endswith(b"\r\n\r\nok")


async def test_a_half_closed_client_that_lags_gets_the_answer_to_its_last_request() -> None:
    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + bytes(30000)
    loop = asyncio.get_running_loop()
    async with running(Origin(reply=reply)) as origin, proxied(local(origin.port)) as ours:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)  # noqa: FBT003 - the signature of the standard library
            await loop.sock_connect(client, ("127.0.0.1", ours.port))
            await eventually(lambda: ours.listener.connections)
            (connection,) = ours.listener._clients._clients
            assert isinstance(connection, ClientConnection)
            asked = 0
            while not connection._paused:
                await loop.sock_sendall(client, request)
                asked += 1
                await eventually(lambda: len(origin.seen) >= asked)  # noqa: B023 - called at once
                await asyncio.sleep(0.005)
            await loop.sock_sendall(client, request)
            await eventually(lambda: connection._buffer)
            client.shutdown(socket.SHUT_WR)
            await eventually(lambda: connection._ended)
            answers = b""
            async with asyncio.timeout(10):
                while part := await loop.sock_recv(client, 1 << 20):
                    answers += part
    assert answers.count(b"HTTP/1.1 200 OK") == asked + 1


async def test_many_clients_in_one_turn_get_each_their_own_answer_and_share_a_write_of_lines() -> (
    None
):
    async def echo(peer: Any, origin: Origin) -> None:  # noqa: ANN401 - a Peer
        while True:
            seen = await peer.request()
            length = b"Content-Length: %d\r\n\r\n" % len(seen.target)
            peer.send(b"HTTP/1.1 200 OK\r\n" + length + seen.target)

    async def ask(port: int, number: int) -> None:
        target = b"/%d" % number
        async with connected(port) as client:
            for _ in range(20):
                client.send(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
                assert (await client.response()).body == target

    async with running(Origin(script=echo)) as origin, proxied(local(origin.port)) as ours:
        batches: list[int] = []
        ours.ear.messages = lambda lines: batches.append(len(lines))  # type: ignore[method-assign]  # it listens
        await asyncio.gather(*[ask(ours.port, number) for number in range(50)])
        await eventually(lambda: sum(batches) == 1000)
    assert len(batches) < 500

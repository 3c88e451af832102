from __future__ import annotations

import os

from proxy.telemetry.sink import DescriptorSink


def test_lines_arrive_as_written() -> None:
    reader, writer = os.pipe()
    sink = DescriptorSink(writer)
    sink(b"one\n")
    sink(b"two\n")

    assert os.read(reader, 100) == b"one\ntwo\n"
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone_fails_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = DescriptorSink(writer)
    sink(b"one\n")

    assert sink.lost == 1
    os.close(writer)


def test_a_line_that_was_cut_does_not_swallow_the_next() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sink = DescriptorSink(writer)
    sink(b"x" * (1 << 20) + b"\n")
    os.read(reader, 1 << 20)
    sink(b"whole\n")

    assert sink.lost == 1
    assert os.read(reader, 100) == b"\nwhole\n"
    os.close(reader)
    os.close(writer)

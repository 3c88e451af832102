from __future__ import annotations

from proxy.telemetry.logs.console import ConsoleLines
from proxy.telemetry.logs.events import EVENTS


def test_people_see_event_and_fields_in_the_order_of_the_table() -> None:
    render = ConsoleLines(colors=False)
    line = render(0.0, EVENTS["message.handled"], "info", {"status": 201, "method": "POST"})

    assert "message.handled" in line.decode()
    assert line.index(b"method=POST") < line.index(b"status=201")


def test_nothing_in_a_value_reaches_the_terminal_raw() -> None:
    render = ConsoleLines(colors=False)
    line = render(0.0, EVENTS["message.refused"], "warning", {"reason": "a\r\n\x1b[2Jé"})

    assert line.removesuffix(b"\n").decode().isprintable()

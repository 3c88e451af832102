"""What a manager of services and this process tell each other: how far it is, and its end."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, Literal

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(state: Literal["READY=1", "STOPPING=1"], environ: Mapping[str, str]) -> None:
    """Send systemd the state, as sd_notify(3) does: to the socket of NOTIFY_SOCKET, if any.

    A manager that does not take it is no reason to serve no messages: nothing is raised.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    if address.startswith("@"):  # a name in the abstract namespace
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return

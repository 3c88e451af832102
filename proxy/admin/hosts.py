"""Which Host headers are answered: a page in a browser must not reach us by a name of its own.

With DNS rebinding, a web page points its own name at 127.0.0.1; the browser then sends that name as
Host. Nobody can rebind `localhost`, an address, or the name that the operator configured.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from ..config.settings import Address, TcpAddress

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


def allowed(host: str | None, listen: Address) -> bool:
    """Tell whether a request with this Host header may be answered at `listen`."""
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    name = (match[1] or match[2]).lower()
    configured = listen.host.lower() if isinstance(listen, TcpAddress) else "localhost"
    return name in {"localhost", configured} or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

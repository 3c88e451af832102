"""mitmproxy as a reverse proxy with an addon; `./dev bench` installs it apart from all else."""

from __future__ import annotations

from typing import Final

from .base import FILES, ROOT, SEALING, Peer, Place, needs, said

_PROGRAM: Final = ROOT / ".venv-mitmproxy" / "bin" / "mitmdump"


def _absent() -> str | None:
    return needs(str(_PROGRAM)) and ".venv-mitmproxy is not set up: ./dev bench does it"


def _version() -> str:
    what = (str(_PROGRAM), "--version")
    own, python = said(r"Mitmproxy: (\S+)", *what), said(r"Python: +(\S+)", *what)
    return f"mitmproxy {own}, Python {python}"


def _prepare(place: Place) -> list[str]:
    options = {
        "confdir": str(place.folder),
        "listen_host": "127.0.0.1",
        "listen_port": str(place.port),
        "flow_detail": "0",
        "termlog_verbosity": "error",
        "onboarding": "false",
        "keep_host_header": "true",
    }
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    mode = f"reverse:http://127.0.0.1:{place.backend}"
    return [str(_PROGRAM), "--mode", mode, "--scripts", str(FILES / "mitmproxy_addon.py"), *sets]


PEERS: Final = (
    Peer("mitmproxy addon", SEALING | {"pass", "events", "websocket"}, _absent, _version, _prepare),
)

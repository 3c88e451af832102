"""Values from the environment: `${env:NAME}` and `${env:NAME:-default}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .positions import Position
from .problems import Problems, show

_REFERENCE: Final = re.compile(r"\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\})?")


def substitute(
    text: str, environ: Mapping[str, str], position: Position, problems: Problems
) -> str:
    """Return `text` with each reference replaced; what cannot be replaced is a mistake."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name is None:
            problems.at(
                position,
                "",
                f"{show(text)}: write a reference as `${{env:NAME}}`, in quotes inside {{ }}",
            )
            return ""
        if name in environ:
            return environ[name]
        if default is None:
            problems.at(
                position,
                "",
                f"the environment has no {show(name)}; `${{env:{name}:-…}}` gives a default",
            )
            return ""
        return str(default)[2:]

    return _REFERENCE.sub(value, text)

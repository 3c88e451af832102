"""Values from the environment: `${env:NAME}` and `${env:NAME:-default}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .positions import Place
from .problems import Problems, show

_REFERENCE: Final = re.compile(r"\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\})?")


def substitute(text: str, environ: Mapping[str, str], place: Place, problems: Problems) -> str:
    """Return `text` with each reference replaced; what cannot be replaced is told at `place`."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name is None:
            problems.add(
                place, f"{show(text)}: a reference is `${{env:NAME}}`, quoted inside {{ }}"
            )
        elif name in environ:
            return environ[name]
        elif default is not None:
            return str(default).removeprefix(":-")
        else:
            hint = f"`${{env:{name}:-…}}` gives a default"
            problems.add(place, f"the environment has no {show(name)}", hint)
        return ""

    return _REFERENCE.sub(value, text)

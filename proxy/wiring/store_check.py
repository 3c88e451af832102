"""The store before the first message: refused where it cannot work, told where it is risky."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..config.settings import KeySettings
from ..core.errors import UnfitEnvironment
from ..keys.stores import check
from ..telemetry.reporter import Reporter
from .session_facts import kind_of

SECONDS: Final = 1.0
"""A start waits no longer for a store; one that is down keeps nobody from starting."""


async def require(
    keys: KeySettings,
    reporter: Reporter,
    environ: Mapping[str, str],
    *,
    clock: Callable[[], float],
    seconds: float = SECONDS,
) -> None:
    """Report what is risky; raise UnfitEnvironment, naming it all, for what will never work.

    A store that says nothing for `seconds` may be well again soon: it is reported.
    """
    findings = await check.examined(keys, environ, clock=clock, seconds=seconds)
    hopeless = [one.text for one in findings if one.verdict == "failed" and not one.passing]
    if hopeless:
        raise UnfitEnvironment("unfit-store", detail=" ".join(hopeless))
    for one in findings:
        if one.verdict in {"warning", "failed"}:
            reporter.report("store.warning", store=kind_of(keys), check=one.check, warning=one.text)

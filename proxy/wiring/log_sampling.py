"""The shares of lines that the rules of a configuration say, put in force in this process."""

from __future__ import annotations

from ..config.settings import RuleLog, Settings
from ..telemetry.logs.access_line import Sampling
from ..telemetry.logs.logger import Logs
from ..telemetry.reporter import Reporter, Tally


def follow(reporter: Reporter, settings: Settings) -> None:
    """Let the log that `reporter` writes to go by what the rules say."""
    logs = reporter.inner if isinstance(reporter, Tally) else reporter
    shares = {
        (listener.name, rule): _share(said)
        for listener in settings.listeners
        for rule, said in listener.log.items()
        if said != RuleLog()
    }
    if isinstance(logs, Logs):
        logs.sampling = Sampling(shares) if shares else None


def _share(said: RuleLog) -> float:
    return 0.0 if said.errors_only else said.sample

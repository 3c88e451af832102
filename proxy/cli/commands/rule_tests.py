"""`sealyard test`: a team's own cases for its rules."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from ...config.settings import ListenerSettings, Settings
from ...core.crypto.token import ASSUMED_KEK_ID
from ...core.errors import CasesError, SealyardError
from ...core.explain.explanation import Explained
from ...explaining import trial
from ..policy import ExitCode
from ..support import console
from ..support.configuration import config_option, load_configuration
from ..support.console import FILE
from ..support.page_links import pages
from ..support.reports import Reported, format_option, gap, report
from ..support.rule_cases import Case, Cases, read_cases
from ..support.rule_mutants import Mutant, items, mutants, shown, without
from ..support.rule_outcomes import failures


@dataclass(frozen=True, slots=True)
class Result:
    """A case that has run: what happened, and what of it is not as expected."""

    case: Case
    explained: Explained
    faults: tuple[str, ...]


@click.command("test")
@click.argument("files", nargs=-1, required=True, metavar="CASES...", type=FILE)
@config_option
@format_option("the lines of failed cases")
@click.option("--coverage", is_flag=True, help="Fail for rules and selectors that no case needs.")
@click.option(
    "--mutate",
    is_flag=True,
    help="Fail for a moved rule, a wrong selector or a narrowed type that no case notices.",
)
def test(
    files: tuple[Path, ...], *, config: Path | None, output: str, coverage: bool, mutate: bool
) -> None:
    """Run cases: messages, and what the rules are expected to do with them.

    \b
    sealyard test rules/cases.yaml
    sealyard test cases.yaml --mutate --format junit > report.xml

    Each message goes through the code that `serve` runs, as `sealyard explain` sends it. Without
    --config, a file names its configuration. Exits with 1 if a case fails, or if the cases do not
    need every rule and selector (--coverage) or notice every mutant (--mutate).
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    good = True
    for file in files:
        cases = read_cases(file)
        settings = load_configuration(config or cases.config).settings
        with asyncio.Runner() as runner:
            run = _Run(runner, settings)
            results = [run.result(_listener(settings, one, file), one) for one in cases.cases]
            gaps = [
                *(run.uncovered(cases) if coverage else ()),
                *(run.unnoticed(cases) if mutate else ()),
            ]
        reported = [
            Reported(one.case.name, str(file), one.case.line, one.faults) for one in results
        ]
        reported += [gap(str(file), one) for one in gaps]
        for line in report(output, str(file), reported):
            click.echo(console.printable(line))
        good = good and not gaps and not any(one.faults for one in results)
    sys.exit(ExitCode.OK if good else ExitCode.NEGATIVE)


class _Run:
    """Runs cases by the rules of one configuration."""

    def __init__(self, runner: asyncio.Runner, settings: Settings) -> None:
        self._runner = runner
        self._settings = settings
        kek_id = None if settings.keys.sessions.mode == "ephemeral" else ASSUMED_KEK_ID
        self._keys = trial.TrialKeys(trial.clock, kek_id=kek_id)

    def result(self, listener: ListenerSettings, case: Case) -> Result:
        """Run one case."""
        told = self._runner.run(trial.explain(listener, case.wanted, self._keys))
        faults = (*failures(case, told), *self._astray(listener, case, told))
        caller, known = case.wanted.caller, {one.name for one in listener.callers}
        if caller is not None and caller.name not in known:
            faults = (f"caller: the listener has none of the name {caller.name}", *faults)
        return Result(case, told, faults)

    def _astray(self, listener: ListenerSettings, case: Case, told: Explained) -> Iterator[str]:
        """Yield that the answer sends its client to a page of the list that is refused."""
        wanted = case.wanted
        if told.response is None or wanted.answer is None or wanted.method != "GET":
            return
        answer, path = wanted.answer, wanted.target.partition("?")[0]
        heads = [
            value.decode("latin-1") for name, value in answer.headers if name.lower() == b"link"
        ]
        for query in pages(wanted.target, heads, answer.body):
            there = replace(wanted, target=f"{path}?{query}", answer=None)
            refusal = self._runner.run(trial.explain(listener, there, self._keys)).request.refusal
            if refusal is not None:
                yield f"response: its link to another page is refused: {refusal.detail}"

    def uncovered(self, cases: Cases) -> Iterator[str]:
        """Yield the rules that no case reaches, and the items that no case needs."""
        for listener in self._settings.listeners:
            reached = self._by_rule(listener, cases)
            for rule in listener.rules:
                if rule.name not in reached:
                    yield f"listener {listener.name!r}: no case reaches rule {rule.name!r}"
                    continue
                for at, item in items(rule):
                    changed = without(listener, rule, at)
                    if not self._noticed(changed, reached[rule.name]):
                        where = f"rule {rule.name!r}: {at[0]}: {at[2]}"
                        yield f"{where}: no case needs {shown(item.selector)}"

    def unnoticed(self, cases: Cases) -> Iterator[str]:
        """Yield the mutants that no case notices."""
        for listener in self._settings.listeners:
            reached = self._by_rule(listener, cases)
            for mutant in mutants(listener):
                if not self._noticed(mutant.listener, _for(mutant, reached)):
                    yield f"no case notices: {mutant.what}"

    def _by_rule(self, listener: ListenerSettings, cases: Cases) -> dict[str, list[Case]]:
        """Return the cases of a listener that hold, by the rules that take their messages."""
        found: dict[str, list[Case]] = {}
        for case in cases.cases:
            if case.listener not in {None, listener.name}:
                continue
            result = self.result(listener, case)
            if not result.faults:
                found.setdefault(result.explained.request.rule or "", []).append(case)
        return found

    def _noticed(self, listener: ListenerSettings, cases: Iterable[Case]) -> bool:
        try:
            return any(self.result(listener, one).faults for one in cases)
        except SealyardError:  # the rules cannot be so: whoever changes them is told
            return True


def _for(mutant: Mutant, reached: dict[str, list[Case]]) -> Iterator[Case]:
    for name in mutant.rules:
        yield from reached.get(name, ())


def _listener(settings: Settings, case: Case, file: Path) -> ListenerSettings:
    names = [one.name for one in settings.listeners]
    for one in settings.listeners:
        if one.name == case.listener or (case.listener is None and len(names) == 1):
            return one
    raise CasesError(
        (f"{file}:{case.line}:1 the case needs `listener`: one of {', '.join(names)}",)
    )

"""The root of the keyring while a process runs: its lease, and what is reported of it.

Without a lease the root is asked at the start and on reload only. With one it is asked again before
the end, at a time drawn by each process; an outage that ends in time is only reported. At the end
the keys are not used until the root opens the keyring again. No message ever waits for a root.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ...config.settings import Settings
from ...core.errors import KeyringError
from ...keys.keyring.keyring import Keyring
from ...process.boot_clock import since_boot
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples
from ...telemetry.reporter import Reporter
from ..policy import LEASE_LOOK_SECONDS, LEASE_RETRIES, RENEWED_AT, ROOT_PAUSE_SECONDS
from ..reload.material import Material, RootAnswer, ask_root
from ..reload.reload import deliberate

_DRAWS: Final = secrets.SystemRandom()


def pause(longest: float) -> float:
    """Return seconds to wait before another attempt: many processes must not ask at once."""
    return _DRAWS.uniform(0.4 * longest, longest)


class RootLease:
    """Asks the root again in time, and knows how it answered last.

    `give_up` is called at the end of the lease, and `restore` with the keyring that the root opens
    after that; what it raises leaves the lease ended. `opened` is called after each time that a
    root opened the keyring.
    """

    def __init__(  # noqa: PLR0913 - what the sidecar hands in, each by name
        self,
        material: Material,
        reporter: Reporter,
        environ: Mapping[str, str],
        *,
        give_up: Callable[[], None],
        restore: Callable[[Keyring], None],
        opened: Callable[[RootAnswer], None],
    ) -> None:
        self._settings: Settings = material.settings
        self._answer = material.root
        self._reporter = reporter
        self._environ = environ
        self._give_up = give_up
        self._restore = restore
        self._opened = opened
        self._ended = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def left(self) -> float | None:
        """How many seconds of the lease are left; None without a lease."""
        lease = self._settings.keys.keyring.lease
        return None if lease is None else max(0.0, self._answer.at + lease - since_boot())

    def start(self) -> None:
        """Report how the keyring was opened, and renew the lease from now on, if there is one."""
        self._report(self._answer)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def take(self, material: Material) -> None:
        """Go on with a reloaded configuration, and with the answer of the root at the reload."""
        self._settings = material.settings
        if material.root.away:
            self._failed(material.root.away)
        elif material.root != self._answer:
            self._take(material.root, material.keyring)
        self._changed.set()

    def check(self) -> Check:
        """Return the readiness check: which root opened the keyring, and what is wrong."""
        answer, left = self._answer, self.left
        summary = f"{answer.by} opened the keyring"
        if self._ended:
            detail = f"the lease of {answer.by} has ended: {answer.away}"
            return Check("root", ok=False, detail=detail)
        wrong = [f"{one.root} did not: {one.reason}" for one in answer.refusals]
        if answer.away:
            until = "" if left is None else f"; the lease ends in {left:.0f} s"
            wrong.append(f"no root opens it now: {answer.away}{until}")
        return Check("root", ok=True, detail="; ".join([summary, *wrong]), degraded=bool(wrong))

    def count(self, samples: Samples) -> None:
        """Add the samples."""
        answer, left = self._answer, self.left
        samples.add(table.ROOT_OPENED_AT, answer.wall, labels=(answer.by.kind,))
        refused = {one.root.kind for one in answer.refusals}
        refused |= {answer.by.kind} if answer.away else set()
        for kind in {one.kind for one in self._settings.keys.keyring.roots}:
            samples.add(table.ROOT_REFUSED, int(kind in refused), labels=(kind,))
        if left is not None:
            samples.add(table.ROOT_LEASE_LEFT, left)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._wait()):
                    await self._changed.wait()
            except TimeoutError:
                await self._ask()
            self._changed.clear()

    def _wait(self) -> float | None:
        """Return the seconds until the root is asked again, or the lease ends; None: never."""
        lease, left = self._settings.keys.keyring.lease, self.left
        if lease is None or left is None:
            return None
        if self._ended:
            return pause(ROOT_PAUSE_SECONDS)
        if self._answer.away:
            return min(pause(max(lease / LEASE_RETRIES, ROOT_PAUSE_SECONDS / 10)), left)
        return max(0.0, left - lease * (1 - _DRAWS.uniform(*RENEWED_AT)))

    async def _ask(self) -> None:
        settings = self._settings
        try:
            keyring, answer = await self._answered(settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, a lease must come to its end
            if settings is self._settings:
                self._failed(deliberate(error).reason)
        else:
            unused = not self._ended
            if settings is self._settings:
                self._take(answer, keyring)
            if unused:
                keyring.give_up()

    async def _answered(self, settings: Settings) -> tuple[Keyring, RootAnswer]:
        """Return what the root answers; the lease ends meanwhile when it is over."""
        loop = asyncio.get_running_loop()
        asking = loop.run_in_executor(None, ask_root, settings, self._environ)
        while not (asking.done() or self._ended):
            left = self.left
            await asyncio.wait(
                (asking,),
                timeout=LEASE_LOOK_SECONDS if left is None else min(left, LEASE_LOOK_SECONDS),
            )
            # A timer may fire early, and a reload may have renewed the lease, or shortened it.
            if not asking.done() and self.left == 0:
                self._failed(self._answer.away or "no answer before the lease ended")
        return await asking

    def _take(self, answer: RootAnswer, keyring: Keyring) -> None:
        if self._ended:
            try:
                self._restore(keyring)
            except KeyringError as error:
                self._failed(error.reason)
                return
            self._ended = False
        self._answer = answer
        self._report(answer)

    def _report(self, answer: RootAnswer) -> None:
        self._reporter.report("root.opened", kind=answer.by.kind, name=answer.by.key)
        for one in answer.refusals:
            self._reporter.report(
                "root.fallback", kind=one.root.kind, name=one.root.key, reason=one.reason
            )
        self._opened(answer)

    def _failed(self, reason: str) -> None:
        before, self._answer = self._answer, replace(self._answer, away=reason)
        left = self.left
        if before.away != reason:
            shown = None if left is None else round(left)
            self._reporter.report("root.unavailable", reason=reason, lease_left_s=shown)
        if left == 0 and not self._ended:
            self._ended = True
            self._give_up()
            by = self._answer.by
            self._reporter.report("root.lease_ended", kind=by.kind, name=by.key, reason=reason)

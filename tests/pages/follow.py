"""A reader who types what a page says, and compares what it shows with what is printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .blocks import Block
from .shell import Shell

_BASH: Final = shutil.which("bash") or "/bin/bash"
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_EXAMPLES: Final = {
    "rest": r"…",
    "time": _TIME,
    "keyring": r"(?<![\w-])[\w-]{22}(?![\w-])",
    "session": r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{16}(?![\w-])",
    "kek": r"(?<![\w-])k(?:1(?:-[a-z0-9]{4})?|(?=[a-z]*\d)[a-z0-9]{4}|xrdz)(?![\w-])",
    "share": r"(?<![\w-])(?=\d*[A-Z])[0-9A-Z]{5}(?![\w-])",
    "space": r"[ \t]+",
}
"""What differs from one reader to another: ids, times, the rest of a line, columns."""
_FOUND: Final = re.compile("|".join(f"(?P<{name}>{one})" for name, one in _EXAMPLES.items()))
_ANY: Final = {
    "rest": r"[^\n]*",
    "time": _TIME,
    "keyring": r"[\w-]{22}",
    "session": r"[\w-]{16}",
    "kek": r"k[a-z0-9]{1,4}(?:-[a-z0-9]{4})?",
    "share": r"[0-9A-Z]{5}",
    "space": r"[ \t]+",
}
_SERVERS: Final = {"sealyard serve": "server.ready", "prometheus ": "Server is ready"}
"""Commands that go on until they are stopped, and what their log says when they serve."""
_LOGGED_SECONDS: Final = 5.0
_SERVED: Final = """\
if [ -n "${{serving:-}}" ]; then kill $serving; wait $serving; fi
{command} >serving.log 2>&1 &
serving=$!
until grep -q '{ready}' serving.log || ! kill -0 $serving; do sleep 0.1; done
grep -q '{ready}' serving.log || (cat serving.log; false)
"""
_NUMBER: Final = re.compile(r"(?<![\w.:\\-])\d+(?:\\?\.\d+)?(?![\w-])")


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and what the page shows of its output; None: nothing."""

    command: str
    shown: str | None


def steps(block: Block) -> list[Step]:
    """Return the commands of a block: those after `$`, or all lines of a script."""
    if block.language == "console":
        return _of_session(block.text)
    found: list[Step] = []
    command = ""
    for line in block.text.splitlines(keepends=True):
        command += line
        if command.strip() and _is_whole(command):
            found.append(Step(command.rstrip("\n"), None))
            command = ""
    assert not command.strip(), f"{block.name}: a command without an end"
    return found


def _of_session(text: str) -> list[Step]:
    found: list[Step] = []
    for one in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = one.splitlines(keepends=True)
        length = 1
        while not _is_whole("".join(lines[:length])):
            length += 1
        shown = "".join(lines[length:])
        found.append(Step("".join(lines[:length]).rstrip("\n"), shown or None))
    return found


def _is_whole(command: str) -> bool:
    if command.rstrip("\n").endswith("\\"):
        return False
    parsed = subprocess.run(  # noqa: S603 - bash, which only reads
        [_BASH, "-n", "-c", command], capture_output=True, check=False
    )
    return parsed.returncode == 0


@dataclass
class Reader:
    """Who follows a page in a shell.

    The path of `folder`, where he works, is left out of what is printed, as pages do. `values` are
    texts of the page and what stands in their place here: ports, names that the page
    leaves to its reader, and ids, which are learnt from what is printed. `before` is done before
    the first command that begins with its key; `statuses` are exit statuses other than 0;
    `numbers` says that figures which the page shows are examples, and `servers` what the log of a
    command that goes on has when it serves.
    """

    shell: Shell
    folder: Path | None = None
    values: dict[str, str] = field(default_factory=dict)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)
    numbers: bool = False
    servers: Mapping[str, str] = field(default_factory=lambda: _SERVERS)

    def follow(self, block: Block, shown_below: str | None = None) -> None:
        """Run the commands of a block; raise AssertionError where the page is wrong.

        `shown_below` is what the page shows of the output of the whole block.
        """
        printed = "".join(self._do(block, step) for step in steps(block))
        if shown_below is not None:
            self._compare(block, shown_below, printed)

    def _do(self, block: Block, step: Step) -> str:
        for begin in [one for one in self.before if step.command.startswith(one)]:
            self.before.pop(begin)()
        command = self.filled(step.command)
        due = next(
            (code for begin, code in self.statuses.items() if step.command.startswith(begin)), 0
        )
        began = time.monotonic()
        status, printed = self.shell.run(self._in_background(command))
        while (
            status != due
            and command.startswith("grep ")
            and time.monotonic() - began < _LOGGED_SECONDS
        ):
            time.sleep(0.05)  # the line of a message is written behind its answer
            status, printed = self.shell.run(command)
        assert status == due, f"{block.name}: {command}\nended with {status}:\n{printed}"
        if step.shown is not None:
            self._compare(block, step.shown, printed)
        return printed

    def _in_background(self, command: str) -> str:
        """Return a command that ends once the server that it starts serves."""
        plain = re.sub(r"^(?:\w+=\S+ )+", "", command)
        for begin, ready in self.servers.items():
            if plain.startswith(begin) and not command.endswith("&"):
                return _SERVED.format(command=command, ready=ready)
        return command

    def filled(self, text: str) -> str:
        """Return a text of the page with what stands here in place of its examples."""
        for example, real in self.values.items():
            named = rf"(?<![\w-]){re.escape(example)}(?![\w-])"
            text = re.sub(named, real.replace("\\", r"\\"), text)
        return text

    def _compare(self, block: Block, shown: str, printed: str) -> None:
        pattern, names = self._pattern(shown.strip())
        told = printed.replace(f"{self.folder}/", "") if self.folder else printed
        match = re.fullmatch(pattern, re.sub(r"[ \t]+$", "", told.strip(), flags=re.MULTILINE))
        assert match, f"{block.name} shows:\n{shown}\nand this was printed:\n{printed}"
        for example, group in names.items():
            self.values[example] = match[group]

    def _pattern(self, shown: str) -> tuple[str, dict[str, str]]:
        """Return a pattern of what may be printed, and its groups by what the page has there."""
        pattern, at, names = "", 0, dict[str, str]()
        for one in _FOUND.finditer(shown):
            kind, text = str(one.lastgroup), one[0]
            pattern += self._literal(shown[at : one.start()])
            at = one.end()
            if kind == "rest" and _is_a_line(shown, one):
                pattern += r"[\s\S]*"
            elif text in names:
                pattern += f"(?P={names[text]})"
            elif text in self.values:
                pattern += re.escape(self.values[text])
            elif kind in {"keyring", "session", "kek"}:
                names[text] = f"example{len(names)}"
                pattern += f"(?P<{names[text]}>{_ANY[kind]})"
            else:
                pattern += _ANY[kind]
        return pattern + self._literal(shown[at:]), names

    def _literal(self, text: str) -> str:
        escaped = re.escape(self.filled(text))
        return _NUMBER.sub(r"[\\d.,]+", escaped) if self.numbers else escaped


def _is_a_line(text: str, found: re.Match[str]) -> bool:
    """Return whether what was found is a line of its own: any number of lines are left out."""
    before, after = text[: found.start()][-1:], text[found.end() :][:1]
    return {before, after} <= {"", "\n"}

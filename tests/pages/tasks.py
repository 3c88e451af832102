"""The table of docs/how-to/tasks.md: twelve tasks of a new user, and what each of them takes.

`python -m tests.pages.tasks` writes it. Words and commands are counted on the pages; the seconds
were measured by `./dev test tests/pages/test_commands.py -rP`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.pages.blocks import COMMANDS, ROOT, blocks_in, without_blocks
from tests.pages.follow import steps

PAGE: Final = ROOT / "docs" / "how-to" / "tasks.md"
BEGIN: Final = "<!-- tasks: made by `./dev docs` -->\n"
END: Final = "<!-- end of the tasks -->\n"
WORDS_A_MINUTE: Final = 200
SECONDS_A_COMMAND: Final = 10
MOST_MINUTES: Final = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a new user wants, the page, its sections in order, and how long its commands ran."""

    name: str
    page: str
    sections: tuple[str, ...]
    seconds: float

    @property
    def text(self) -> str:
        """The sections, as they are on the page; all of it, if none is named."""
        text = (ROOT / "docs" / self.page).read_text("utf-8")
        if not self.sections:
            return text
        parts = re.split(r"^(?=##+ )", text, flags=re.MULTILINE)
        found = {one.partition("\n")[0].lstrip("# "): one for one in parts}
        return "".join(found[name] for name in self.sections)

    @property
    def words(self) -> int:
        """How many words there are to read, without those of commands and files."""
        return len(without_blocks(self.text).split())

    @property
    def commands(self) -> int:
        """How many commands there are to type."""
        typed = [one for one in blocks_in(self.text, self.page) if one.language in COMMANDS]
        return sum(len(steps(one)) for one in typed)

    @property
    def minutes(self) -> float:
        """How long it takes who reads all of it and types all of it."""
        typing = self.commands * SECONDS_A_COMMAND + self.seconds
        return self.words / WORDS_A_MINUTE + typing / 60


TASKS: Final = (
    Task(
        "seal a field",
        "tutorial.md",
        ("1. A backend", "2. A configuration", "3. Messages"),
        30,
    ),
    Task("open a list", "tutorial.md", ("3. Messages", "4. An attack"), 12),
    Task("write rule tests", "how-to/rule-tests.md", (), 38),
    Task("rotate a key", "how-to/keys.md", ("Rotate the KEK",), 33),
    Task("lose Redis", "how-to/redis-tls.md", ("5. Lose it",), 9),
    Task(
        "restore a keyring",
        "how-to/keys.md",
        ("Back up, and practise the loss",),
        20,
    ),
    Task("revoke a conversation", "how-to/keys.md", ("Rotate and revoke sessions",), 18),
    Task("find out a refusal", "how-to/refused.md", (), 22),
    Task("watch it with Prometheus and Grafana", "how-to/prometheus.md", (), 19),
    Task(
        "use Redis with TLS",
        "how-to/redis-tls.md",
        ("1. Certificates", "2. Redis", "3. Sealyard", "4. Check it"),
        14,
    ),
    Task("keep two tenants apart", "how-to/tenants.md", (), 28),
    Task("leave again", "how-to/leave.md", (), 22),
)


def table() -> str:
    """Return the rows of all tasks."""
    head = "| task | page | words | commands | seconds | minutes |\n|---|---|--:|--:|--:|--:|\n"
    return head + "".join(
        f"| {one.name} | [{one.page}]({_link(one)}) | {one.words} | {one.commands}"
        f" | {one.seconds:g} | {one.minutes:.1f} |\n"
        for one in TASKS
    )


def _link(task: Task) -> str:
    """Return the link from the page of the tasks to the first section of a task."""
    path = task.page.removeprefix("how-to/") if "/" in task.page else f"../{task.page}"
    if not task.sections:
        return path
    anchor = re.sub(r"[^\w\- ]", "", task.sections[0].lower()).replace(" ", "-")
    return f"{path}#{anchor}"


def written(page: str) -> str:
    """Return the page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), encoding="utf-8")

"""The tables of docs/how-to/tasks.md: tasks and questions of a new user, and what each takes.

`python -m tests.pages.tasks` writes them. Words and commands are counted on the pages; the seconds
were measured by `./dev test tests/pages/test_commands.py -rP`. tests/site holds that what is typed
for a question shows its page among the first three.
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

SEARCH_SECONDS: Final = 20
"""What it takes to type a question into the search of the site, and to choose a result."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a new user wants to know, what is typed, and the page and section that answer it."""

    name: str
    typed: str
    page: str
    section: str

    @property
    def words(self) -> int:
        """How many words there are to read, without those of commands and files."""
        return Task(self.name, self.page, (self.section,), 0).words

    @property
    def minutes(self) -> float:
        """How long it takes who searches, and reads all of the section."""
        return SEARCH_SECONDS / 60 + self.words / WORDS_A_MINUTE


BY_QUESTION: Final = "how-to/by-question.md"
QUESTIONS: Final = (
    Question("which of my routes leak", "which routes leak", BY_QUESTION, "Which routes leak?"),
    Question(
        "my backend has a new field", "a new field", BY_QUESTION, "My backend has a new field"
    ),
    Question(
        "how wide must the column be",
        "how wide must the column be",
        BY_QUESTION,
        "How wide must the column be?",
    ),
    Question(
        "my PATCH does not name the conversation",
        "PATCH does not name the conversation",
        BY_QUESTION,
        "My PATCH does not name the conversation",
    ),
    Question(
        "support must open one value",
        "support must open one value",
        BY_QUESTION,
        "Support must open one value",
    ),
    Question(
        "who has read a conversation",
        "who has read a conversation",
        BY_QUESTION,
        "Who has read this note or conversation?",
    ),
    Question(
        "how do I restore on a new machine",
        "restore on a new machine",
        BY_QUESTION,
        "Restore on a new machine, or move to a new server",
    ),
    Question(
        "why is a request refused",
        "why is a request refused",
        "how-to/refused.md",
        "1. What the client gets",
    ),
    Question(
        "what happens while Redis is down",
        "redis is down",
        "explanation/outages.md",
        "What an outage of Redis costs",
    ),
    Question("how fast is it", "how fast", "explanation/speed.md", "In short"),
    Question(
        "can a sealed value be searched",
        "search sealed",
        "how-to/search-in-sealed-messages.md",
        "What can be found",
    ),
    Question(
        "why was my pod not sealed",
        "pod not sealed",
        "how-to/kubernetes.md",
        "Why was my pod not sealed?",
    ),
)


def table() -> str:
    """Return the rows of all tasks, and those of all questions."""
    head = "| task | page | words | commands | seconds | minutes |\n|---|---|--:|--:|--:|--:|\n"
    return head + "".join(
        f"| {one.name} | [{one.page}]({_place(one.page, *one.sections[:1])}) | {one.words}"
        f" | {one.commands} | {one.seconds:g} | {one.minutes:.1f} |\n"
        for one in TASKS
    )


def questions() -> str:
    """Return the rows of all questions."""
    head = "| question | what is typed | section | words | minutes |\n|---|---|---|--:|--:|\n"
    return head + "".join(
        f"| {one.name} | {one.typed} | [{one.page}]({_place(one.page, one.section)}) | {one.words}"
        f" | {one.minutes:.1f} |\n"
        for one in QUESTIONS
    )


def _place(page: str, section: str = "") -> str:
    """Return the link from the page of the tasks to a section of a page, or to all of it."""
    inner = page.removeprefix("how-to/")
    path = inner if inner != page else f"../{page}"
    if not section:
        return path
    anchor = re.sub(r"[^\w\- ]", "", section.lower()).replace(" ", "-")
    return f"{path}#{anchor}"


def written(page: str) -> str:
    """Return the page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{table()}\n{questions()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), encoding="utf-8")

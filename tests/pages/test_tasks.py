"""The tasks and questions of docs/how-to/tasks.md: each is followed or found, and short."""

from __future__ import annotations

from typing import Final

import pytest

from tests.pages.blocks import ROOT
from tests.pages.scenes import SCENES
from tests.pages.tasks import MOST_MINUTES, PAGE, QUESTIONS, TASKS, Question, Task, written

QUERIES: Final = ROOT / "tests" / "site" / "queries.tsv"
"""What readers type; tests/site holds which pages are shown."""


def test_the_table_is_current() -> None:
    page = PAGE.read_text("utf-8")

    assert written(page) == page, "run ./dev docs"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_is_followed_and_short(task: Task) -> None:
    assert f"docs/{task.page}" in SCENES
    assert task.commands
    assert task.seconds
    assert task.minutes < MOST_MINUTES


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_is_searched_for_and_answered_shortly(question: Question) -> None:
    rows = dict(one.split("\t") for one in QUERIES.read_text("utf-8").splitlines())

    assert f"docs/{question.page.removesuffix('.md')}" in rows[question.typed].split()
    assert question.words
    assert question.minutes < MOST_MINUTES

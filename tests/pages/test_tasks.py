"""The twelve tasks of docs/how-to/tasks.md: each is followed by a test, and none takes long."""

from __future__ import annotations

import pytest

from tests.pages.scenes import SCENES
from tests.pages.tasks import MOST_MINUTES, PAGE, TASKS, Task, written


def test_the_table_is_current() -> None:
    page = PAGE.read_text("utf-8")

    assert written(page) == page, "run ./dev docs"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_is_followed_and_short(task: Task) -> None:
    assert f"docs/{task.page}" in SCENES
    assert task.commands
    assert task.seconds
    assert task.minutes < MOST_MINUTES

import pytest

from proxy.config.yaml.nodes import Place, Position, Problems, Scalar, show, suggest
from proxy.core.errors import ConfigurationError

START = Position(1, 1)


def _lines(problems: Problems) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        problems.raise_if_any()
    return caught.value.problems


def _substituted(text: str) -> Place:
    return Place(Scalar(START, text, "substituted", "${env:A}"), "a.b")


def test_nothing_is_raised_where_nothing_is_wrong() -> None:
    problems = Problems("f")
    problems.warn(Place(Scalar(START, "a", "text", "a"), ""), "look")

    problems.raise_if_any()

    assert problems.warnings == ("f:1:1 look",)


def test_a_problem_is_told_once_in_the_order_of_the_file() -> None:
    problems = Problems("f")
    for line in (2, 1, 2):
        problems.at(Position(line, 3), "a.b", "wrong")

    assert _lines(problems) == ("f:1:3 a.b wrong", "f:2:3 a.b wrong")


def test_a_message_is_one_short_line() -> None:
    problems = Problems("f")
    problems.at(START, "", "a\nb\u2028" + "x" * 1000)

    (line,) = _lines(problems)

    assert line.startswith("f:1:1 a\\u000ab\\u2028xxx")
    assert len(line) < 300
    assert len(show("y" * 1000)) < 70


@pytest.mark.parametrize(
    ("text", "message", "told"),
    [
        ("n", "`n` is unknown", "`${env:A}` is unknown; one of: a"),
        ("hunter2", "`hunter2` is unknown", "`${env:A}` is unknown; one of: a"),
        (
            "a hunter2",
            "`hunter2` from on",
            "`${env:A}` has a value that is not valid here; one of: a",
        ),
        ("hunter2", "lacks a name", "lacks a name; one of: a"),
    ],
)
def test_what_came_from_the_environment_is_not_told(text: str, message: str, told: str) -> None:
    problems = Problems("f")
    problems.add(_substituted(text), message, "one of: a")

    assert _lines(problems) == (f"f:1:1 a.b {told}",)


def test_a_hint_that_holds_it_is_left_out() -> None:
    problems = Problems("f")
    problems.add(_substituted("hunter2"), "is wrong", "did you mean `const:hunter2`?")

    assert _lines(problems) == ("f:1:1 a.b is wrong",)


def test_what_is_broken_already_is_not_told_again() -> None:
    problems = Problems("f")
    problems.add(Place(Scalar(START, "", "broken", ""), "a"), "is empty")

    assert problems.count == 0


def test_the_nearest_word_is_suggested() -> None:
    assert suggest("encript", ["encrypt", "decrypt"]) == "did you mean `encrypt`?"
    assert suggest("colour", ["b", "a"]) == "one of: a, b"
    assert suggest("x" * 1_000_000, ["a"]) == "one of: a"


def _closed(text: str, message: str) -> str:
    problems = Problems("f")
    problems.add(Place(Scalar(START, text, "text", text), ""), message)
    with pytest.raises(ConfigurationError) as caught:
        problems.raise_if_any()
    return caught.value.closed[0].removeprefix("f:1:1 ")


@pytest.mark.parametrize(
    ("text", "message", "told"),
    [
        ("jwt", "`jwt` is unknown; one of: jwe, short", "<hidden> is unknown; one of: jwe, short"),
        ("tenants", "`tenants`; did you mean `tenant`?", "<hidden>; did you mean `tenant`?"),
        ("hunter2", "write `HUNTER2`", "write <hidden>"),
        ("60", "`60` is no time; write `5s`", "<hidden> is no time; write `5s`"),
        ("hunter2", "`hunter2`: write `$.hunter2`", "<hidden>: write <hidden>"),
        ("POST hunter2", "`hunter2` has no `/`", "<hidden> has no `/`"),
        ('a"hunter2', 'quote it: "a"hunter2"', "quote it: <hidden>"),
        ("a`hunter2", "`a`hunter2` is unknown", "<hidden> is unknown"),
        ("hunter" * 20, f"{show('hunter' * 20)} is unknown", "<hidden> is unknown"),
        ("x", "lacks the key `match` (`a`)", "lacks the key `match` (`a`)"),
    ],
)
def test_a_log_is_told_a_mistake_without_what_it_quotes(text: str, message: str, told: str) -> None:
    assert told == _closed(text, message)

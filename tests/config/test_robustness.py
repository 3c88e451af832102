from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.load import parse
from proxy.config.yaml import composer
from proxy.config.yaml.nodes import Problems
from proxy.core.errors import ConfigurationError
from tests.config.builders import FILE, ROOT, SMALL

_TEXTS = [
    SMALL,
    *(
        path.read_text()
        for path in sorted((ROOT / "config").rglob("*.yaml"))
        if path.parent.name != "cases"
    ),
    *(path.read_text() for path in sorted((ROOT / "tests/config/data/later").glob("*.yaml"))),
]
_PIECES = [
    "",
    "\n",
    "  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "~",
    "null",
    "no",
    "1:30",
    "012",
    "2024-01-01",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "'",
    '"',
    '"\\U00110000"',
    '"\\ud800"',
    '"\\0"',
    "${env:",
    "${env:A}",
    "%",
    "#",
    "|",
    "\t",
    "---\n",
    "$..a",
    "tokens",
    "é",
    "\ufeff",
    "9" * 30,
]


def _loads_or_tells(text: str) -> None:
    try:
        problems = parse(text, FILE, {"A": "b\udc80\n"}).warnings
    except ConfigurationError as error:
        problems = error.problems or ("none",)
    assert all(one.startswith(f"{FILE}:") and "\n" not in one for one in problems)


@settings(max_examples=300, deadline=None)
@given(
    text=st.sampled_from(_TEXTS),
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 30), st.one_of(st.sampled_from(_PIECES), st.text())
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_changed_configuration_loads_or_tells_its_mistakes(
    text: str, cuts: list[tuple[float, int, str]]
) -> None:
    for where, length, piece in cuts:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + length :]
    _loads_or_tells(text)


@settings(max_examples=200, deadline=None)
@given(
    text=st.sampled_from(_TEXTS),
    picks=st.lists(st.tuples(st.integers(0), st.integers(0)), min_size=1, max_size=3),
)
def test_a_configuration_with_swapped_lines_loads_or_tells_its_mistakes(
    text: str, picks: list[tuple[int, int]]
) -> None:
    lines = text.splitlines()
    for first, second in picks:
        one, other = first % len(lines), second % len(lines)
        lines[one], lines[other] = lines[other], lines[one]
    _loads_or_tells("\n".join(lines))


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes_load_or_tell_their_mistakes(content: bytes) -> None:
    problems = Problems(str(FILE))
    text = composer.decode(content, problems)
    if text is None:
        assert problems.count == 1
    else:
        _loads_or_tells(text)

"""Readers of what several keys of a job file hold: texts, lists of names, selectors.

Each returns None, or nothing, after reporting what is wrong.
"""

from __future__ import annotations

from ...config.schema.tables import Members
from ...config.yaml import nodes as yaml
from ...config.yaml.nodes import Problems, show
from ...config.yaml.scalars import one_or_more, text, texts
from ...core.errors import InvalidExpression
from ...core.expressions.selectors import JsonSelector, parse_json_selector


def text_of(fields: Members, name: str, problems: Problems) -> str | None:
    """Return the text of a key, if it is given."""
    place = fields.get(name)
    return None if place is None else text(place, problems)


def words(place: yaml.Place | None, problems: Problems) -> tuple[str, ...]:
    """Return one name or a list of them; none where nothing is given."""
    if place is None:
        return ()
    return tuple(word for word, _ in texts(one_or_more(place, problems), problems))


def selector(place: yaml.Place | None, problems: Problems) -> JsonSelector | None:
    """Return a JSON selector, if one is given."""
    written = None if place is None else text(place, problems)
    if place is None or written is None:
        return None
    if not written.startswith("$"):
        problems.add(place, f"{show(written)} is not a JSON selector", "begin it with `$`")
        return None
    try:
        return parse_json_selector(written)
    except InvalidExpression as error:
        problems.add(place, error.message, error.hint)
        return None

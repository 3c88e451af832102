"""What rules ask of values and messages beyond selecting them; what cannot be asked is told."""

from __future__ import annotations

from typing import Final

from ..core.crypto.token import Form, KeyId, encode_header, jwe_length, short_length
from ..core.expressions.selectors import JsonSelector, Whole
from ..core.rules.model import Item, Nothing
from .positions import Place
from .problems import Problems, show
from .syntax import BlockSyntax, FieldSyntax, ItemSyntax


def _shortest_head(end: int | None) -> bytes:
    """Return the shortest head: under a KEK whose id is one character."""
    return encode_header(KeyId(bytes(12), kek_id="k"), bytes(16), exp=end)


_HEADS: Final = {False: _shortest_head(None), True: _shortest_head(2_000_000_000)}


def shortest(form: Form, size: int = 0, *, ends: bool = False) -> int:
    """Return how many characters the shortest token of `size` bytes has, be it one that ends."""
    return short_length(size) if form == "short" else jwe_length(_HEADS[ends], size)


def min_chars(item: ItemSyntax, field: FieldSyntax) -> int | None:
    """Return how many characters a value must have; None where it need not even be a string."""
    if item.min_chars is not None or item.string is False:
        return item.min_chars
    if field.min_chars is not None:
        return field.min_chars
    return 0 if item.string or field.string else None


def check(item: Item, place: Place, problems: Problems) -> None:
    """Tell of what an item that seals asks for in vain: no value could be sealed so."""
    form, least, most = item.form, item.min_chars, item.max_chars
    ends = item.expires is not None
    if item.selector is Whole.BODY and form == "short":
        problems.add(place, "a body keeps its media type, which form `short` cannot")
    elif item.selector is Whole.BODY and least is not None:
        problems.add(place, "a body is no string", "select `text`")
    elif form == "short" and ends:
        problems.add(
            place,
            "form `short` has no place for `expires`",
            "write `form: jwe`, or `expires: never` on the item",
        )
    elif most is not None and most < shortest(form, ends=ends):
        problems.add(
            place,
            f"max_chars {most} holds not even an empty token; {shortest(form, ends=ends)} at least",
            "" if form == "short" or ends else "or `form: short`",
        )
    elif most is not None and most < shortest(form, least or 0, ends=ends):
        problems.add(place, f"{least} characters never fit into max_chars {most}")


def nothing(block: BlockSyntax, rule: str, version: int, problems: Problems) -> Nothing:
    """Return what becomes of messages of which nothing is sealed.

    It is told where it is not said and `version` of the file demands it, or a later one.
    """
    at_will = bool(block.encrypt) and all(one.optional for one in block.encrypt)
    if block.nothing is not None:
        word, place = block.nothing
        if not block.encrypt:
            problems.add(place, "only stands beside `encrypt`")
        elif not at_will:
            problems.add(
                place, "only stands where all that is sealed is optional; here something is not"
            )
        return word
    # A body that is sealed as a whole is there wherever there is a body.
    if at_will and not any(isinstance(one.selector, Whole) for one in block.encrypt):
        optional = f"all that rule {show(rule)} seals here is optional"
        if version > 1:
            problems.add(
                block.place,
                optional,
                "write `nothing: refuse` or, where messages with none of it are honest,"
                " `nothing: pass`",
            )
        else:
            problems.warn(
                block.place,
                f"changes with `version: 2`: {optional}, and messages with none of it pass;"
                " write `nothing: refuse` or `nothing: pass`",
            )
    return "pass"


def only(block: BlockSyntax, problems: Problems) -> tuple[str, ...] | None:
    """Return the members that may stand beside those sealed; tell where there are no such."""
    if block.only is None:
        return None
    names, place = block.only
    selectors = [one.selector for one in block.encrypt]
    paths = [one for one in selectors if isinstance(one, JsonSelector)]
    if not any(one.field for one in paths):
        problems.add(place, "only stands beside `encrypt` of members of JSON")
    elif any(step.deep for one in paths for step in one.steps):
        problems.add(
            place, "is for objects at known places, which `..` does not tell", "name the path"
        )
    return names

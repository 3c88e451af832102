"""Rules that seal end to end: whether their participants and options are possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...core.crypto.derivation import PACKAGE_COMMITMENT_BYTES, SID_BYTES
from ...core.crypto.token import KeyId, encode_header, jwe_length
from ...core.expressions.sources import ListSource, MembersSource, name_sources
from ...core.rules.model import Block, NamedPart
from ..rules.options import SourceSyntax
from ..rules.resolve import PlacedItem, ResolvedRule
from ..yaml.nodes import Problems, show

_SEALING: Final[tuple[NamedPart, ...]] = ("sender", "recipients")
_PARTS: Final[tuple[NamedPart, ...]] = (*_SEALING, "reader")
_CHOSEN_BY_CLIENTS: Final = frozenset({"header", "query"})
_HEAD: Final = encode_header(KeyId(bytes(SID_BYTES)), bytes(PACKAGE_COMMITMENT_BYTES))
SHORTEST: Final = jwe_length(_HEAD, 0)
"""The length of the shortest token under a key from a key package: of an empty text."""


def check(resolved: ResolvedRule, *, trusted_names: bool, problems: Problems) -> None:
    """Report missing or unsuitable participants, and options that packages' keys do not allow."""
    for placed in resolved.items:
        if placed.action == "encrypt" and placed.item.parties:
            _check_item(placed, problems)
    _check_pairs(resolved, problems)
    for part in _PARTS:
        _warn_of_unused(part, resolved, problems)
        if part != "recipients":
            _check_single(part, resolved, problems)
        if part != "recipients" and not trusted_names:
            _check_trust(part, resolved, problems)
    if any(block.already_sealed == "keep" for block in _sealing_blocks(resolved)):
        problems.add(
            resolved.syntax.place,
            "`already_sealed: keep` must open what it finds, which a sender cannot",
            "write `seal` or `reject`",
        )


def _check_item(placed: PlacedItem, problems: Problems) -> None:
    item = placed.item
    if item.form == "short":
        problems.add(
            placed.place,
            "form `short` does not commit to its key, as keys from packages require",
            "delete `form`",
        )
    elif item.max_chars is not None and item.max_chars < SHORTEST:
        problems.add(
            placed.place,
            f"`max_chars: {item.max_chars}` is too short for any token",
            f"at least {SHORTEST} are needed",
        )


def _check_pairs(resolved: ResolvedRule, problems: Problems) -> None:
    told: set[NamedPart] = set()
    for placed in resolved.items:
        parties = placed.item.parties
        for part in _SEALING if placed.action == "encrypt" and parties else ():
            if part not in parties and part not in told:
                told.add(part)
                problems.add(
                    placed.place,
                    f"is sealed end to end, but rule {show(resolved.rule.name)} has no `{part}`",
                    f"write `{part}` in the rule",
                )


def _warn_of_unused(part: NamedPart, resolved: ResolvedRule, problems: Problems) -> None:
    own = resolved.syntax.shared.names.get(part)
    if own is not None and not any(part in one.item.parties for one in resolved.items):
        verb = "opens" if part == "reader" else "encrypts"
        problems.warn(own.place, f"is never used: the rule {verb} no value")


def _check_trust(part: NamedPart, resolved: ResolvedRule, problems: Problems) -> None:
    for syntax in _sources(part, resolved):
        for source in name_sources(syntax.source):
            if source.place in _CHOSEN_BY_CLIENTS:
                problems.add(
                    syntax.place,
                    f"a {part} from `{source.place}:` is chosen by the client",
                    "if a proxy before Sealyard checks it, write `trusted_names: true`"
                    " on the listener",
                )


def _check_single(part: NamedPart, resolved: ResolvedRule, problems: Problems) -> None:
    for syntax in _sources(part, resolved):
        if isinstance(syntax.source, ListSource | MembersSource):
            problems.add(
                syntax.place,
                f"a {part} is one participant, not several names joined",
                "name one source",
            )


def _sources(part: NamedPart, resolved: ResolvedRule) -> Iterator[SourceSyntax]:
    """Yield the sources of a part that some item needs."""
    found: dict[int, SourceSyntax] = {}
    for placed in resolved.items:
        source = placed.block.names.get(part) or resolved.shared.names.get(part)
        if source is not None and part in placed.item.parties:
            found[id(source)] = source
    yield from found.values()


def _sealing_blocks(resolved: ResolvedRule) -> Iterator[Block]:
    for block in resolved.rule.blocks:
        if any(item.parties for item in block.encrypt):
            yield block

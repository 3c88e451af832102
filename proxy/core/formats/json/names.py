"""The tree of selectors, by the names and indexes of their steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...expressions.name_readings import beginnings, first_step_of_member, fold_member
from ...expressions.selectors import Any, Inside, Step
from ...leaves.plain_names import PlainNames, is_plain


@dataclass(slots=True)
class Node:
    """A place in the tree of selectors.

    A `sticky` node (`..`) stays with every descendant. `ends` are the selectors that end here,
    `beyond` those that lead on from here, `below` both; selectors with `..` count in neither of the
    last two, since they are missing only if they find nothing at all. `onward` are those that lead
    on from here, `..` or not. `folded` has for the twins of each name the selectors that lead to
    it, `beginnings` how ASCII twins begin. `plain` tells which names beside these are no twins,
    where all of these are spelled in one way. Some readers take one value for a list of one:
    `single` are the selectors that end at an element, `inner` has those that lead to its members,
    as `folded`.
    """

    names: dict[str, Node] = field(default_factory=dict)
    indexes: dict[int, Node] = field(default_factory=dict)
    any: Node | None = None
    deep: Node | None = None
    sticky: bool = False
    ends: tuple[int, ...] = ()
    beyond: frozenset[int] = frozenset()
    below: frozenset[int] = frozenset()
    onward: frozenset[int] = frozenset()
    folded: dict[str, frozenset[int]] = field(default_factory=dict)
    beginnings: frozenset[str] = frozenset()
    into_objects: bool = False
    into_arrays: bool = False
    only_names: bool = False
    plain: PlainNames | None = None
    single: frozenset[int] = frozenset()
    inner: dict[str, frozenset[int]] = field(default_factory=dict)

    def variants(self, key: str) -> frozenset[int] | None:
        """Return the selectors for whose member some readers take one of another name."""
        return _selectors_of(self.folded, key)

    def in_element(self, key: str) -> frozenset[int] | None:
        """Return the selectors for whose member some take one whose object is in no list."""
        return _selectors_of(self.inner, key) if self.inner else None


def _selectors_of(twins: Mapping[str, frozenset[int]], key: str) -> frozenset[int] | None:
    selectors = twins.get(fold_member(key))
    if selectors is None and not key.isalnum() and (first := first_step_of_member(key)) is not None:
        selectors = twins.get(first)
    return selectors


def insert(root: Node, index: int, steps: tuple[Step, ...], *, deep: bool) -> None:
    """Add a selector's steps to the tree; `deep` says that it has `..` somewhere."""
    mine = frozenset[int]() if deep else frozenset({index})
    node = root
    for step in steps:
        node.below |= mine
        node.beyond |= mine
        node.onward |= {index}
        if step.deep:
            node.deep = node.deep or Node(sticky=True)
            node = node.deep
            node.onward |= {index}
        if isinstance(step.key, str):
            folded = fold_member(step.key)
            node.folded[folded] = node.folded.get(folded, frozenset()) | {index}
            node = node.names.setdefault(step.key, Node())
        elif isinstance(step.key, Any):
            node.any = node.any or Node()
            node = node.any
        else:
            assert not isinstance(step.key, Inside)  # noqa: S101 - selectors are parted there
            node = node.indexes.setdefault(step.key, Node())
    node.below |= mine
    node.ends += (index,)


def finish(node: Node) -> None:
    """Note what a walk asks of every node, once the tree is built."""
    children = [*node.names.values(), *node.indexes.values(), node.any, node.deep]
    anywhere = node.sticky or node.any is not None or node.deep is not None
    node.into_objects = anywhere or bool(node.names)
    node.into_arrays = anywhere or bool(node.indexes)
    node.only_names = not anywhere and not node.indexes
    node.beginnings = beginnings(node.folded)
    if node.names and node.only_names and all(map(is_plain, node.names)):
        node.plain = PlainNames(node.names)
    for child in children:
        if child is not None:
            finish(child)
    for one in () if node.sticky else (*node.indexes.values(), node.any):
        if one is not None:
            _take_for_list(node, one)


def _take_for_list(node: Node, element: Node) -> None:
    """Note what a value is to those who take it for a list of this element."""
    node.single |= element.single.union(element.ends)
    below = () if element.deep is None else (element.deep.folded,)
    for twins in (element.folded, element.inner, *below):
        for name, selectors in twins.items():
            node.inner[name] = node.inner.get(name, frozenset()) | selectors

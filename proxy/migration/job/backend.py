"""The backend of a job over HTTP by its configuration, and what its rules do to the job's routes.

A job whose list nothing opens, or whose write nothing seals, is a mistake with its line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ...config.declared.kinds import Choice
from ...config.declared.section import Fields
from ...config.load import load, place_of
from ...config.settings import OriginalPort
from ...config.yaml.nodes import Place, Problems, show
from ...core.compiled.rule_table import CompiledRule, RuleTable
from ...core.errors import SealyardError
from ...core.expressions.selectors import JsonSelector, Selector
from ...core.http.path import canonical
from .collections import HttpCollection
from .places import Http, HttpKeys
from .templates import SAMPLE

_IN_RULES: Final = "compare with the rules of `config`"
_TABLES: Final = "migrate these by a job of tables"


def backend(keys: HttpKeys, environ: Mapping[str, str], problems: Problems) -> Http | None:
    """Return the backend; None after reporting what is wrong.

    Raises ConfigurationError with the mistakes of the configuration that it names.
    """
    path, place = keys.config
    settings = load(path, environ).settings
    listeners = {one.name: one for one in settings.listeners}
    if settings.keys.sessions.mode == "ephemeral":
        where = place_of(path, environ, ("keys", "sessions", "mode"))
        problems.add(
            place, f"{where}: what is stored is sealed by sessions of mode `durable`", "write it"
        )
    if keys.listener is None and len(listeners) > 1:
        problems.add(keys.place, "lacks the key `listener`", f"one of: {', '.join(listeners)}")
        return None
    name = next(iter(listeners))
    if keys.listener is not None:
        name = Choice(*listeners).read(keys.listener[1], problems)
    if name is None:
        return None
    chosen = listeners[name]
    if isinstance(chosen.upstream.address, OriginalPort):
        where = place_of(path, environ, ("listeners", chosen.name, "upstream"))
        problems.add(place, f"{where}: `original-port` is no address to connect to", "name another")
    rules = RuleTable(chosen.rules, pass_unmatched=chosen.pass_unmatched)
    return Http(chosen, rules, keys.headers, hashlib.sha256(path.read_bytes()).hexdigest())


def ruled(
    made: HttpCollection, rules: RuleTable, fields: Fields, problems: Problems
) -> HttpCollection:
    """Return the collection with the labels of what its rules seal; report what they do not."""
    listing = _rule_of(rules, "GET", made.listed, fields["list"], problems)
    if listing is not None and not listing.opens_response:
        problems.add(
            fields["list"], f"the rule {show(listing.rule.name)} opens no response", _IN_RULES
        )
    address, at = made.write.address.expand(lambda _: SAMPLE), fields["write"]
    writing = _rule_of(rules, made.write.method, address, at, problems)
    if writing is None:
        return made
    items = [item for one in writing.request for item in one.block.encrypt]
    name = show(writing.rule.name)
    if not items:
        problems.add(at, f"the rule {name} seals no request", _IN_RULES)
    for item in items:
        if not isinstance(item.selector, JsonSelector):
            problems.add(at, f"the rule {name} seals more than JSON values", _TABLES)
        elif item.parties:
            problems.add(at, f"the rule {name} seals end to end", "its senders alone can seal")
        left = _left_out(made, item.selector)
        if left:
            said = f"leave {show(left)} out, which the rule {name} seals"
            problems.add(fields["members" if made.members else "without"], said, _TABLES)
    texts_of = dict.fromkeys(
        item.selector.text for item in items if isinstance(item.selector, JsonSelector)
    )
    labels = (made.name, *(f"{made.name} {one}" for one in texts_of), f"{made.name} elsewhere")
    return replace(made, labels=labels)


def _left_out(made: HttpCollection, sealed: Selector) -> str:
    """Return the selector of what is sealed in members that the write does not have, if it is."""
    steps = sealed.steps if isinstance(sealed, JsonSelector) else ()
    names = len(made.at)
    if not (made.members or made.without) or tuple(one.key for one in steps[:names]) != made.at:
        return ""
    first = steps[names].key if len(steps) > names and not steps[names].deep else None
    if isinstance(first, str):
        written = first in made.members if made.members else first not in made.without
        if written:
            return ""
    return sealed.text if isinstance(sealed, JsonSelector) else ""


def _rule_of(
    rules: RuleTable, method: str, target: str, place: Place, problems: Problems
) -> CompiledRule | None:
    """Return the rule of a route, be it in mode `observe`; None after reporting that none is."""
    try:
        decision = rules.decide(method, canonical(target.partition("?")[0]))
    except SealyardError as error:
        problems.add(place, f"the configuration refuses {method} here ({error.reason})", _IN_RULES)
        return None
    found = decision.compiled_rule or decision.observes
    if found is None:
        problems.add(place, f"no rule of the configuration matches {method} here", _IN_RULES)
    return found

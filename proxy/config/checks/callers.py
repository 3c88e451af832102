"""Whether the callers of a listener can be verified, and whether names may be read from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

from ...core.callers import ANYONE
from ...core.expressions.selectors import Whole
from ...core.expressions.sources import name_sources
from ...core.rules.model import EVERY, NAMED_PARTS
from ..declared.section import Fields
from ..rules.resolve import ResolvedRule
from ..settings import ListenerSettings, UnixAddress
from ..settings.callers import (
    CallerCertificate,
    CallerHeader,
    CallerJwt,
    CallerSettings,
    CallerXfcc,
)
from ..settings.file import AuditSettings
from ..yaml.nodes import Place, Problems, show

_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def check(values: Mapping[str, Any], fields: Fields, problems: Problems) -> None:
    """Report callers whose credentials cannot come to this listener, or from everywhere."""
    callers: Sequence[CallerSettings] = values.get("callers", ())
    if not callers:
        if "caller_order" in values:
            problems.add(fields["caller_order"], "needs `callers`", "delete it")
        return
    place, tls, trusted = fields["callers"], values.get("tls"), values.get("trusted_proxies", ())
    kinds = {type(one.by if one.over is None else one.over.by) for one in callers}
    if CallerCertificate in kinds and (tls is None or tls.client_ca is None):
        told = "a certificate needs `tls` with `client_ca` on the listener"
        problems.add(place, told, "write `tls: {…, client_ca: path}`")
    if CallerXfcc in kinds and not trusted and not isinstance(values.get("listen"), UnixAddress):
        told = "`xfcc` needs `trusted_proxies`: without it, anybody could have written the header"
        problems.add(place, told, "list the address from which Envoy connects")
    local = any(one.overlaps(each) for one in trusted for each in _LOOPBACK if _alike(one, each))
    if local and any(isinstance(one.by, CallerHeader) for one in callers):
        told = "`header` does not go with loopback in `trusted_proxies`"
        hint = "every client of a mesh arrives from there: use `xfcc` or `jwt`"
        problems.add(place, told, hint)


def check_names(
    values: Mapping[str, Any], fields: Fields, rules: Iterable[ResolvedRule], problems: Problems
) -> None:
    """Report names from claims where nobody is verified, or where issuers could name each other's.

    Names of two issuers are the same texts: one must not be able to name a tenant of the other.
    """
    callers: Sequence[CallerSettings] = values.get("callers", ())
    tokens = [one.by for one in callers if isinstance(one.by, CallerJwt)]
    reading = [syntax for one in rules for syntax in _claims(one)]
    for syntax in reading if not tokens else ():
        told = "is read from a verified claim, and no caller of the listener has a `jwt`"
        problems.add(syntax.place, told, "write `callers` on the listener")
    issuers = {one.issuer for one in tokens}
    if reading and len(issuers) > 1 and any(one.tenants is None for one in tokens):
        told = "callers of several issuers, of which rules read names, each need `tenants`"
        hint = "say which tenants each may name: `tenants: {claim: org, allow: [clinic]}`"
        problems.add(fields["callers"], told, hint)
    prefixes = [
        (one.issuer, one.tenants.names)
        for one in tokens
        if one.tenants is not None and isinstance(one.tenants.names, str)
    ]
    for issuer, prefix in prefixes:
        if any(other != issuer and longer.startswith(prefix) for other, longer in prefixes):
            told = f"the prefix {show(prefix)} begins that of another issuer"
            hint = "each could name tenants of the other: end both with the same separator"
            problems.add(fields["callers"], told, hint)


def check_guesses(rules: Sequence[ResolvedRule], problems: Problems) -> None:
    """Warn of callers that get equal tokens of a field whose values they may have sealed.

    Tokens of equal values are the same: whoever has both knows when a guess is right.
    """
    sealed = {
        (item.field, name): one.rule.name
        for one in rules
        for block in one.rule.blocks_of("request")
        for item in block.encrypt
        if item.form == "equal" and not item.seeks  # a look-up is refused to them
        for name in (block.callers if block.callers is not None else (*one.rule.callers, ANYONE))
    }
    for one in rules:
        guessed = {
            (by, field, name): None
            for block in one.rule.blocks_of("response")
            for item in block.decrypt
            for (field, name), by in sealed.items()
            if item.opens in {field, EVERY} and name in {*one.rule.callers, ANYONE}
            if item.audience is not None and item.audience.to(name) == "token"
        }
        for by, field, name in guessed:
            told = f"{show(name)} gets equal tokens of {show(field)}, and can guess values: rule"
            hint = f"{show(by)} seals them for it; give it `absent`, or write `for` in that block"
            problems.warn(one.syntax.place, f"{told} {hint}")


def check_listeners(
    place: Place,
    listeners: Sequence[ListenerSettings],
    audit: AuditSettings | None,
    problems: Problems,
) -> None:
    """Warn of values that callers open without a line, or that another listener opens for all."""
    guarded = [one for one in listeners if one.callers and _opened(one)]
    if guarded and (audit is None or audit.opens == "none"):
        told = "callers open values, and no line says who has read what"
        problems.warn(place, f"{told}; write `audit: {{opens: all}}`")
    for one in guarded:
        _check_opened_for_backends(place, one, problems)
        for other in listeners:
            if other.callers or other.upstream.address != one.upstream.address:
                continue
            fields = _opened(one) | _opened(other)
            both = fields if EVERY in fields else _opened(one) & _opened(other)
            if both and _opened(other):
                what = show(max(both) or Whole.TOKENS.value)
                told = f"listener {show(other.name)} opens {what} for everybody, which"
                hint = f"{show(one.name)} opens for its callers; give both `callers`"
                problems.warn(place, f"{told} listener {hint}")


def _check_opened_for_backends(
    place: Place, listener: ListenerSettings, problems: Problems
) -> None:
    """Warn of blocks that open, for whoever sends a token, what not every caller gets."""
    names = frozenset(one.name for one in listener.callers)
    answers = (block for one in listener.rules for block in one.blocks_of("response"))
    withheld = {
        item.field
        for block in answers
        for item in block.decrypt
        if item.audience is not None and any(item.audience.to(one) != "value" for one in names)
    }
    for rule in listener.rules:
        for block in rule.blocks_of("request"):
            fields = {one.field for one in block.decrypt}
            if block.callers == names and fields & withheld:
                told = f"rule {show(rule.name)} opens {show(min(fields & withheld))} of requests of"
                hint = "every caller, also of those that do not get it; write `for` in the block"
                problems.warn(place, f"{told} {hint}")


def _opened(listener: ListenerSettings) -> set[str]:
    """Return the fields whose values clients of a listener get."""
    blocks = (block for one in listener.rules for block in one.blocks_of("response"))
    return {item.opens for block in blocks for item in block.decrypt}


def _claims(resolved: ResolvedRule) -> Iterable[Any]:
    """Yield the sources of a rule that are read from verified claims."""
    for names in (resolved.shared.names, *(one.names for one in resolved.shared.blocks)):
        for part in NAMED_PARTS:
            syntax = names.get(part)
            if syntax is not None and any(
                one.place == "caller" for one in name_sources(syntax.source)
            ):
                yield syntax


def _alike(one: Any, other: Any) -> bool:  # noqa: ANN401 - networks of either version
    return bool(one.version == other.version)

"""The settings as the admin API shows them: secrets as references, rules in short."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from ..config.settings import (
    AdminSettings,
    ListenerSettings,
    ListenerTls,
    RootSettings,
    SecretReference,
    Settings,
    TcpAddress,
    UpstreamSettings,
    UpstreamTls,
)
from ..config.settings.root_kinds import ROOT_KINDS
from ..core.rules.model import Behaviour, Rule, Verdict


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the settings for JSON, without any secret."""
    keys = settings.keys
    shown: dict[str, Any] = {
        "keys": {
            "keyring": {
                "file": str(keys.keyring.file),
                **_roots(keys.keyring.roots),
            },
            "store": keys.store.address.partition(":")[0],  # an address may hold a password
            "sessions": {
                "mode": keys.sessions.mode,
                "ttl_s": keys.sessions.ttl,
                "grace_s": keys.sessions.grace,
                "revocation_max_age_s": keys.sessions.revocation_max_age,
                "package_max_age_s": keys.sessions.package_max_age,
            },
            "pins": {"mode": keys.pins.mode, "participants": len(keys.pins.listed)},
        },
        "listeners": [_listener(one) for one in settings.listeners],
    }
    if settings.admin is not None:
        shown["admin"] = _admin(settings.admin)
    if settings.audit is not None:
        on_failure = "block" if settings.audit.block else "warn"
        shown["audit"] = {"file": str(settings.audit.file), "on_failure": on_failure}
    if settings.health is not None:
        shown["health"] = {"listen": str(settings.health.listen)}
    return shown


def _admin(settings: AdminSettings) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "listen": str(settings.listen),
        "tokens": [
            {
                "name": one.name,
                "token": _secret(one.secret),
                "scopes": sorted(one.scopes),
                **({"expires": one.expires} if one.expires else {}),
            }
            for one in settings.tokens
        ],
        "clients": [
            {"name": one.name, one.kind: one.value, "scopes": sorted(one.scopes)}
            for one in settings.clients
        ],
    }
    shown |= {"status_page": settings.status_page, "tap": settings.tap}
    if settings.ladder_file is not None:
        shown["ladder_file"] = str(settings.ladder_file)
    if settings.tls is not None:
        shown["tls"] = _tls(settings.tls)
    if settings.kubernetes is not None:
        cluster = settings.kubernetes
        shown["kubernetes"] = {
            "api": f"https://{cluster.api}",
            "audience": cluster.audience,
            "accounts": [
                {"account": one.account, "scopes": sorted(one.scopes)} for one in cluster.accounts
            ],
        }
    return shown


def _roots(roots: tuple[RootSettings, ...]) -> dict[str, Any]:
    """Return the roots as the configuration writes them: one by its key, several as a list."""
    shown = [{ROOT_KINDS[one.kind].key.name: _options(one.options)} for one in roots]
    return shown[0] if len(shown) == 1 else {"roots": shown}


def _options(value: object) -> Any:  # noqa: ANN401 - whatever the kind of root reads, for JSON
    if isinstance(value, SecretReference):
        return _secret(value)
    if isinstance(value, tuple):
        return [_options(one) for one in value]
    if is_dataclass(value):
        return {one.name: _options(getattr(value, one.name)) for one in fields(value)}
    return str(value) if isinstance(value, Path) else value


def _secret(reference: SecretReference) -> dict[str, str]:
    if reference.file is not None:
        return {"file": str(reference.file)}
    return {"env": reference.env or ""}


def _listener(settings: ListenerSettings) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": settings.name,
        "listen": str(settings.listen),
        "upstream": _upstream(settings.upstream),
        "unmatched": "pass" if settings.pass_unmatched else "reject",
        "rules": [_rule(rule) for rule in settings.rules],
        "limits": asdict(settings.limits),
        "timeouts_s": asdict(settings.timeouts),
        "trusted_names": settings.trusted_names,
        "on_client_close": settings.on_client_close,
        "client_names": [
            {name: str(value) for name, value in asdict(one).items() if value is not None}
            for one in settings.ladder.client_names
        ],
        "find_sensitive": settings.ladder.finds_sensitive,
        "add_request_id": settings.add_request_id,
    }
    if settings.tls is not None:
        shown["tls"] = _tls(settings.tls)
    if settings.upstream_tls is not None:
        shown["upstream_tls"] = _tls(settings.upstream_tls)
    return shown


def _upstream(upstream: UpstreamSettings) -> str:
    if not isinstance(upstream.address, TcpAddress):
        return str(upstream.address)
    return f"{'https' if upstream.tls else 'http'}://{upstream.address}"


def _tls(tls: ListenerTls | UpstreamTls) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(tls).items() if value is not None}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "match": [pattern.text for pattern in rule.patterns],
        "request": _behaviour(rule.request),
        "response": _behaviour(rule.response),
    }


def _behaviour(behaviour: Behaviour) -> Any:  # noqa: ANN401 - a word or a list, for JSON
    if isinstance(behaviour, Verdict):
        return behaviour.value
    return [
        {
            action: fields
            for action, fields in (
                ("encrypt", [item.field for item in block.encrypt]),
                ("decrypt", [item.field for item in block.decrypt]),
            )
            if fields
        }
        for block in behaviour
    ]

"""Where a command finds the keyring and its root secret: the configuration, or options."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec

import click

from ...config.settings import AuditSettings, KeySettings, SecretReference
from ...core.crypto import base64url
from ...core.crypto.context import Context, Scope
from ...core.crypto.derivation import audit_key
from ...core.crypto.joined_names import Name, from_json
from ...core.errors import InvalidExpression
from ...keys.audit import AuditLog
from ...keys.audit import file_beside as beside
from ...keys.audit.line import ATTEMPTED, OVER
from ...keys.keyring import poison
from ...keys.keyring.keyring import Keyring
from ...keys.keyring.roots import FileRoot, RootProvider, Roots, configured
from ...keys.keyring.roots.passphrase import PassphraseRoot
from . import console
from .configuration import config_option, configuration_if_any
from .console import FILE
from .shares import at_terminal

_P = ParamSpec("_P")
_Command = Callable[..., None]
_JOINED: Final = """The same as a joined name: '["a", "b"]' or '{"members": ["a", "b"]}'."""
DEFAULT_KEYRING: Final = Path("keyring.jwe")
DEFAULT_VARIABLE: Final = "SEALYARD_PASSPHRASE"


@dataclass(frozen=True, slots=True)
class KeyringPlace:
    """Where the keyring is, what opens it, and the audit log of key operations.

    `purposes` are the purposes of use that its configuration knows.
    """

    path: Path
    roots: Roots
    audit: AuditLog
    config: Path | None = None
    purposes: frozenset[str] = frozenset()

    def write_down(
        self, keyring: Keyring, event: str, **values: str | int | tuple[str, ...]
    ) -> None:
        """Record what is about to be done with the keyring in the audit log.

        Raises UnfitEnvironment unless it is safely on disk; then it must not be done.
        """
        key = audit_key(keyring.record_key)
        self.audit.write(key, event, keyring=str(self.path), **values)

    @contextmanager
    def opening(
        self, keyring: Keyring, context: Context, sid: bytes, purpose: str | None
    ) -> Iterator[None]:
        """Record a value that was opened, before it is shown, and afterwards that it was.

        Raises UnfitEnvironment where it must not be shown.
        """
        stated: dict[str, str] = {} if purpose is None else {"purpose_of_use": purpose}
        request_id = secrets.token_hex(8)
        self.write_down(
            keyring,
            ATTEMPTED,
            source="cli",
            request_id=request_id,
            **stated,
            fields=(f"{context.field or context.kind or ''}:value:1",),
            scopes=keyring.names_of(context.scope)[:1],
            sids=(base64url.encode(sid).decode(),),
        )
        yield
        self.write_down(keyring, OVER, delivered=(request_id,))

    def refused(self, keyring: Keyring, reason: str, text: bytes) -> None:
        """Record that a token did not open, and whether it is a poison token."""
        self.write_down(keyring, "open.refused", reason=reason, source="cli")
        sid = poison.planted(keyring, text)
        if sid is not None:
            self.write_down(keyring, "poison.opened", sid=sid, source="cli")

    def shared(self) -> KeySettings | None:
        """Return the settings of the store that processes share; None where there is none."""
        loaded = configuration_if_any(self.config)
        if loaded is None or loaded.settings.keys.store.address == "memory":
            return None
        return loaded.settings.keys

    def keys(self) -> KeySettings:
        """Return the key settings of the configuration, named or in the first of the usual places.

        Raises a usage error if there is no configuration.
        """
        loaded = configuration_if_any(self.config)
        if loaded is None:
            raise click.UsageError(
                "this needs the store, which the configuration names: give --config"
            )
        return loaded.settings.keys


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of the command line; None if not given."""

    config: Path | None
    keyring: Path | None
    passphrase_env: str | None
    passphrase_file: Path | None
    root_file: Path | None

    @property
    def root(self) -> RootProvider | None:
        """The root that the options name."""
        named = (self.passphrase_env, self.passphrase_file, self.root_file)
        if sum(one is not None for one in named) > 1:
            raise click.UsageError(
                "--passphrase-env, --passphrase-file and --root-file exclude each other"
            )
        if self.root_file is not None:
            return FileRoot(SecretReference(file=self.root_file))
        if self.passphrase_file is not None or self.passphrase_env is not None:
            return passphrase_root(self.passphrase_env or "", self.passphrase_file)
        return None


def keyring_options(
    command: Callable[Concatenate[KeyringPlace, _P], None],
) -> Callable[..., None]:
    """Give a command the options that locate the keyring, and pass it the KeyringPlace.

    The options win; then the configuration that `--config` names or, unless options name the
    keyring, the first of the usual places; then `keyring.jwe` under $SEALYARD_PASSPHRASE.
    """

    @config_option
    @click.option(
        "--keyring",
        type=FILE,
        help="The keyring file; default: that of the configuration, else keyring.jwe.",
    )
    @click.option("--passphrase-env", metavar="NAME", help="Read the passphrase from $NAME.")
    @click.option("--passphrase-file", type=FILE, help="Read the passphrase from this file.")
    @click.option("--root-file", type=FILE, help="Use the root key in this file instead.")
    @click.option(
        "--audit-file",
        type=FILE,
        help="The audit log; default: that of the configuration, else KEYRING.audit.",
    )
    @wraps(command)
    def with_place(  # noqa: PLR0913, PLR0917 - each is one option
        config: Path | None,
        keyring: Path | None,
        passphrase_env: str | None,
        passphrase_file: Path | None,
        root_file: Path | None,
        audit_file: Path | None,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        options = _Options(config, keyring, passphrase_env, passphrase_file, root_file)
        path, roots, settings, purposes = _find(options)
        warn = None
        if settings is not None and not settings.block and audit_file is None:
            warn = _warn
        named = audit_file or (settings.file if settings is not None else beside(path))
        audit = AuditLog(named, time.time, warn=warn)
        command(KeyringPlace(path, roots, audit, config, purposes), *args, **kwargs)

    return with_place


def scope_options(command: _Command) -> _Command:
    """Give a command the options that name a `scope`, a Scope: tenant and conversation."""
    tenant = _named_option("tenant", "The tenant that values are bound to.")
    conversation = _named_option("conversation", "The conversation that values are bound to.")

    @wraps(command)
    def scoped(*args: Any, tenant: Name | None, conversation: Name | None, **options: Any) -> None:  # noqa: ANN401 - what click passes
        command(*args, scope=Scope(tenant, conversation), **options)

    return tenant(conversation(scoped))


def context_options(sealed: str, again: str, *kinds: str) -> Callable[[_Command], _Command]:
    """Return what gives a command the options that name a `context`, a Context.

    Their help calls what was sealed `sealed`, then `again`.
    """

    def decorate(command: _Command) -> _Command:
        @scope_options
        @click.option("--field", help=f"The field that {sealed} is bound to.")
        @_named_option("message", f"The message id that {again} is bound to.")
        @click.option("--purpose", help=f"The purpose that {again} is bound to.")
        @click.option("--kind", type=click.Choice(kinds), help="For tokens of whole bodies.")
        @wraps(command)
        def bound(*args: Any, **options: Any) -> None:  # noqa: ANN401 - what click passes
            context = Context(*map(options.pop, ("scope", "field", "message", "purpose", "kind")))
            command(*args, context=context, **options)

        return bound

    return decorate


def _named_option(part: str, help_text: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds a name to a command: as text, or as a joined name in JSON."""
    joined = f"{part}_json"

    def decorate(command: _Command) -> _Command:
        @click.option(f"--{part}", help=help_text)
        @click.option(f"--{part}-json", metavar="JSON", help=_JOINED)
        @wraps(command)
        def named(*args: Any, **options: Any) -> None:  # noqa: ANN401 - what click passes
            text, spelled = options[part], options.pop(joined)
            if text is not None and spelled is not None:
                raise click.UsageError(f"give --{part} or --{part}-json, not both")
            if text == "":
                raise click.UsageError(f"--{part} is empty; name it, or leave the option out")
            command(*args, **{**options, part: text if spelled is None else _name(part, spelled)})

        return named

    return decorate


def _name(part: str, spelled: str) -> Name:
    try:
        return from_json(json.loads(spelled))
    except (ValueError, RecursionError):
        reason = "is not JSON"
    except InvalidExpression as error:
        reason = error.reason
    raise click.UsageError(f'--{part}-json {reason}; for example \'["a", "b"]\'')


def passphrase_root(env: str, file: Path | None) -> PassphraseRoot:
    """Return the root with the passphrase from a file, else from an environment variable."""
    reference = SecretReference(file=file) if file is not None else SecretReference(env=env)
    return PassphraseRoot(reference, os.environ)


def _warn(reason: str) -> None:
    console.say(f"warning: {reason}")


def _find(options: _Options) -> tuple[Path, Roots, AuditSettings | None, frozenset[str]]:
    """Return where the keyring is, what opens it, and what of a configuration applies to it.

    That is the settings of the audit log, and the purposes of use.
    """
    named = options.root
    roots = Roots.of(named or passphrase_root(DEFAULT_VARIABLE, None))
    if options.keyring is not None and (named is not None or options.config is None):
        return options.keyring, roots, None, frozenset()
    loaded = configuration_if_any(options.config)
    if loaded is None:
        return options.keyring or DEFAULT_KEYRING, roots, None, frozenset()
    keys, audit = loaded.settings.keys, loaded.settings.audit
    if named is None:
        roots = at_terminal(configured(keys, os.environ))
    # A keyring other than the configured one has another audit log, too.
    mine = options.keyring is None or options.keyring.resolve() == keys.keyring.file.resolve()
    rules = chain.from_iterable(one.rules for one in loaded.settings.listeners)
    purposes = frozenset(chain.from_iterable(one.purposes for one in rules))
    return options.keyring or keys.keyring.file, roots, audit if mine else None, purposes

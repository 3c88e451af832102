"""Commands of operators' verbs, made of their declarations: options, confirmation, output."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Any, Final, TextIO
from urllib.parse import urlencode

import click

from ...config.settings import KeySettings
from ...core.crypto.context import Scope
from ...core.crypto.joined_names import Name, to_json
from ...core.errors import KeyUnavailable, NotErasable, ParticipantError
from ...keys.keyring.root_secret import Passphrase
from ...keys.operations.verb import Argument, Command, Done, Form, Verb
from ...keys.participants import Use, public_key
from ...keys.policy import MAX_SKEW_SECONDS
from ...keys.private_file import write
from ..policy import JWK_BYTES, ExitCode
from . import console
from .admin_client import AdminListener, ca_option, token_file_option
from .configuration import config_option, load_configuration
from .console import FILE, ask, parse_time, utc, yes_option
from .files import give_receipt, reserve_receipt
from .keyring_options import KeyringPlace, keyring_options, passphrase_root, scope_options
from .store_access import at_store

_SUCH_AS: Final = " A TIME is such as 2027-11-24T00:00:00Z."
_COLUMNS: Final = 100
"""Of the text that the page of commands shows; a terminal has its own."""
_TAKES_KID: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""For a key id, which is a word: it is base64url, so one of 64 begins with a dash, and may have an
h."""
_TIMES: Final = frozenset({"created", "expires", "retires", "revoked"})
_NO_STORE: Final = "keys.store is memory, which ends with its process; use sqlite: or redis:"
_UNSEEN: Final = (
    "keys.store is memory, so this command does not see which scopes have sessions: check the"
    " spelling of tenant and conversation"
)
_UNKNOWN: Final = (
    "this scope is unknown: it has no current session and no revocation. If it is not the one you"
    " meant, check the spelling of tenant and conversation"
)
_Run = Callable[..., None]


@dataclass(frozen=True, slots=True)
class VerbOutcome:
    """What a command has done, and with which settings and keyring: what is shown depends on all.

    `reason` is why the store failed, if it did.
    """

    done: Done
    keys: KeySettings
    keyring: Path
    reason: str = ""

    @property
    def answer(self) -> Mapping[str, Any]:
        """The answer of the verb."""
        return self.done.answer


@dataclass(frozen=True, slots=True)
class Showing:
    """What the declaration of a verb does not say of its command.

    `lines` returns an outcome for a person; it raises Failure for one that is none. `end` returns
    the exit code after the output, or raises Failure for one that needs a reason.
    """

    lines: Callable[[VerbOutcome], Sequence[str]] | None = None
    end: Callable[[VerbOutcome], int] = lambda _: ExitCode.OK


def add_commands(group: click.Group, verbs: Iterable[Verb], **showings: Showing) -> None:
    """Add the commands of verbs to the group of their family; `showings` by names of commands."""
    for verb in verbs:
        if verb.command is None:
            continue
        showing = showings.get(verb.word.replace("-", "_"), Showing())
        makes = _asking if verb.command.running else _doing
        made = makes(verb, verb.command, showing)
        for one in reversed(verb.arguments):
            if one.only != "route":
                made = _option(one)(made)
        takes_kid = any(one.name == "kid" for one in verb.arguments)
        group.command(
            verb.word,
            help=_help(verb, verb.command),
            context_settings=_TAKES_KID if takes_kid else {},
        )(made)


def _help(verb: Verb, command: Command) -> str:
    called = f"sealyard {verb.name.replace('.', ' ')}"
    lines = (f"{called} {one}" for one in command.examples)
    examples = "\n".join(("\b", *lines))  # click's mark for lines that are not wrapped
    return "\n\n".join(filter(None, (verb.summary, examples, fill(command.more, _COLUMNS))))


def _doing(verb: Verb, command: Command, showing: Showing) -> _Run:
    """Return what does a verb in this process, at the store that running processes share."""

    def run(
        place: KeyringPlace,
        /,
        *,
        yes: bool = False,
        as_json: bool = False,
        file: Path | None = None,
        **options: Any,  # noqa: ANN401 - those of any verb
    ) -> None:
        given, keys = _given(verb, options), place.keys()
        _require_store(verb, keys)
        if command.file and file is not None and file.exists():
            raise console.Failure(f"{file} already exists", ExitCode.ENVIRONMENT)
        with reserve_receipt(file if command.receipt else None) as kept:
            if command.asks and not yes:
                ask(command.asks.format_map(_shown(verb, given)))
            outcome = asyncio.run(_perform(place, keys, verb, given))
        if command.receipt:
            _give_receipt(outcome, showing, kept, as_json=as_json)
        else:
            _warn(outcome)
            told = {**_shown(verb, given), **_times(outcome.answer), "file": file}
            _tell(command, showing, outcome, told, as_json=as_json)
        raise click.exceptions.Exit(showing.end(outcome))

    run = keyring_options(run)
    if showing.lines or command.prints or (command.says and not command.file):
        run = console.as_json(run)
    if command.asks:
        run = yes_option(run)
    if command.receipt:
        receipt = click.option(
            "--receipt", "file", type=FILE, help="Write the receipt to this file."
        )
        run = receipt(run)
    if command.file:
        run = click.argument("file", type=FILE)(run)
    return run


def _tell(
    command: Command,
    showing: Showing,
    outcome: VerbOutcome,
    told: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Print what was done: what `told` puts into the lines of the declaration, or all of it."""
    lines = None if showing.lines is None else showing.lines(outcome)
    if outcome.done.failed and "detail" in outcome.answer:
        raise console.Failure(outcome.answer["detail"])
    if command.file:
        write(told["file"], outcome.answer[command.file].encode() + b"\n")
    elif as_json or not (showing.lines or command.prints or command.says):
        console.print_json(outcome.answer)
    elif lines is not None:
        console.answer(outcome.answer, lines, as_json=False)
    elif command.prints:
        click.echo(command.prints.format_map(told))
    if command.says:
        console.say(command.says.format_map(told))


def _give_receipt(
    outcome: VerbOutcome, showing: Showing, kept: TextIO | None, *, as_json: bool
) -> None:
    receipt = outcome.answer["receipt"]
    problem = give_receipt(json.dumps(outcome.answer) if as_json else receipt, receipt, kept)
    _warn(outcome)
    if showing.lines is not None and not as_json:
        console.say("\n".join(showing.lines(outcome)))
    if problem:
        raise console.Failure(problem, ExitCode.ENVIRONMENT)


def _warn(outcome: VerbOutcome) -> None:
    if outcome.answer.get("unknown"):
        console.say(f"warning: {_UNKNOWN}")


def _asking(verb: Verb, _: Command, showing: Showing) -> _Run:
    """Return what asks a running Sealyard by the route of the verb."""
    route = verb.route
    assert route is not None, verb.name  # noqa: S101 - a declaration that asks nobody

    @token_file_option
    @ca_option
    @console.as_json
    @config_option
    def run(
        config: Path | None,
        token_file: Path | None,
        ca: Path | None,
        *,
        as_json: bool,
        **options: Any,  # noqa: ANN401 - those of any verb
    ) -> None:
        query = urlencode(dict(_parameters(_given(verb, options))))
        answer = AdminListener(config, token_file, ca).asked(f"{route.path}?{query}")
        keys = load_configuration(config).settings.keys
        outcome = VerbOutcome(Done(answer), keys, keys.keyring.file)
        lines = () if showing.lines is None else showing.lines(outcome)
        console.answer(answer, lines, as_json=as_json or showing.lines is None)
        raise click.exceptions.Exit(showing.end(outcome))

    return run


def _parameters(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a query: a name as it is, and a joined name as JSON."""
    for argument, value in given.items():
        named = _parts(value) if isinstance(value, Scope) else {argument: value}
        for part, name in named.items():
            if isinstance(name, str):
                yield part, name
            else:
                yield f"{part}_json", json.dumps(to_json(name))


def _parts(scope: Scope) -> dict[str, Name]:
    """Return the names that a scope has, by their parts."""
    named = {"tenant": scope.tenant, "conversation": scope.conversation}
    return {part: name for part, name in named.items() if name is not None}


async def _perform(
    place: KeyringPlace, keys: KeySettings, verb: Verb, given: Mapping[str, Any]
) -> VerbOutcome:
    async with at_store(place, keys) as at:
        try:
            done = await verb.does(at.here(place, keys), **given)
        except KeyUnavailable:
            raise console.Failure(f"the store failed: {at.reason}", ExitCode.ENVIRONMENT) from None
        if keys.store.address == "memory":  # that of this command, which knows no scope
            known = {name: value for name, value in done.answer.items() if name != "unknown"}
            done = replace(done, answer=known)
        return VerbOutcome(done, keys, place.path, at.reason)


def _require_store(verb: Verb, keys: KeySettings) -> None:
    """Raise Failure where only a store in common would have or take what the verb is about."""
    if keys.store.address != "memory":
        return
    if verb.alone:
        console.say(_UNSEEN)
        return
    reason = _NO_STORE
    if NotErasable in verb.raises and keys.sessions.mode != "ephemeral":
        reason = NotErasable.title
    elif verb.reach == "all" and verb.route is not None:
        call = f"{verb.route.method} {verb.route.path}"
        reason = f"keys.store is memory, so each process has its own; call its admin API, {call}"
    raise console.Failure(reason)


def _option(one: Argument) -> Callable[[_Run], _Run]:
    """Return what gives a command the option or the word of an argument."""
    if one.form == "scope":
        return scope_options
    if one.word:
        return click.argument(one.name)
    if one.form == "secret":
        return _secret_options
    bounds = one.schema.get("anyOf", [one.schema])[0]
    kinds: dict[Form, Mapping[str, Any]] = {
        "participant": {"metavar": "ID"},
        "time": {"metavar": "TIME"},
        "jwk": {"type": FILE},
        "flag": {"is_flag": True},
        "choice": {"type": click.Choice(bounds.get("enum", ()))},
        "number": {"type": click.IntRange(bounds.get("minimum"), bounds.get("maximum"))},
    }
    return click.option(
        f"--{one.name.replace('_', '-')}",
        one.name,
        required=one.required,
        default=one.default,
        show_default=one.default is not None,
        help=one.help + (_SUCH_AS if one.form == "time" else ""),
        **kinds.get(one.form, {}),
    )


def _secret_options(command: _Run) -> _Run:
    """Give a command the options for the passphrase of a private key."""
    of_file = click.option(
        "--private-passphrase-file",
        type=FILE,
        help="Read the passphrase of the private key from this file.",
    )
    of_variable = click.option(
        "--private-passphrase-env",
        default="SEALYARD_PARTICIPANT_PASSPHRASE",
        show_default=True,
        metavar="NAME",
        help="Read the passphrase of the private key from $NAME.",
    )
    return of_file(of_variable(command))


def _given(verb: Verb, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that options give, by name; raise a usage error for wrong ones."""
    found = ((one.name, _value(one, options)) for one in verb.arguments if one.only != "route")
    return {name: value for name, value in found if value is not None}


def _value(one: Argument, options: Mapping[str, Any]) -> object:
    if one.form == "secret":
        return _passphrase(options)
    value = options[one.name]
    if value == Scope():
        raise click.UsageError(
            "nothing is named; give --tenant, --conversation or both, as the rules bind them"
        )
    if value is None or one.form not in {"time", "jwk"}:
        return value
    if one.form == "jwk":
        return _public_key(value, options["use"])
    at = int(parse_time(value))
    if one.past and at > time.time() + MAX_SKEW_SECONDS:
        raise click.UsageError(f"--{one.name.replace('_', '-')} must not be in the future")
    return at


def _passphrase(options: Mapping[str, Any]) -> Passphrase | None:
    """Return what encrypts a private key; None where that is the keyring, or there is none."""
    if options["under"] != "passphrase" or options.get("jwk") is not None:
        return None
    file, env = options["private_passphrase_file"], options["private_passphrase_env"]
    return passphrase_root(env, file).fetch()


def _public_key(file: Path, use: Use) -> dict[str, str]:
    with file.open("rb") as opened:
        text = opened.read(JWK_BYTES + 1)
    if len(text) > JWK_BYTES:
        raise ParticipantError(f"{file}: longer than {JWK_BYTES} bytes")
    return public_key.parse(text, use).to_jwk()


def _shown(verb: Verb, given: Mapping[str, Any]) -> dict[str, object]:
    """Return the arguments as an operator names them."""
    shown: dict[str, object] = {one.name: "now" for one in verb.arguments if one.form == "time"}
    for one in verb.arguments:
        value = given.get(one.name)
        if isinstance(value, Scope):
            parts = _parts(value).items()
            shown[one.name] = ", ".join(f"{part} {to_json(name)}" for part, name in parts)
        elif value is not None:
            shown[one.name] = utc(value) if one.form == "time" else value
    return shown


def _times(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer with its times as an operator reads them."""
    return {name: utc(one) if name in _TIMES else one for name, one in answer.items()}

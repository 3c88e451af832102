"""The `migrate` commands: seal what is stored already, prove it, seal it anew, take it out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial, wraps
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ...core.errors import KeyringError
from ...keys import private_file
from ...keys.keyring.file import open_keyring
from ...keys.keyring.keyring import Keyring
from ...keys.policy import MAX_FILE_BYTES
from ...migration import report, runner
from ...migration.engine import total
from ...migration.job import reader
from ...migration.job.model import WRITING, Job, Verb
from ...migration.job.places import Pipe
from ...migration.progress import Progress
from ...migration.state import StateFile, begin_to_write, mark_of
from ...migration.steering import Steering
from ...migration.values.states import STATES, Outcome, Tally
from ...migration.worker import Order
from ..policy import MOST_RATE, MOST_WORKERS, ExitCode
from ..support import console
from ..support.console import FILE
from ..support.files import read_report
from ..support.keyring_options import KeyringPlace, keyring_options
from ..support.migration_words import in_words
from ..support.store_access import lease_for

if TYPE_CHECKING:
    from ...migration.team import Team


@click.group()
def migrate() -> None:
    """Seal what is stored already, prove it, seal it anew, or take it out again.

    \b
    sealyard migrate plan clinic.yaml
    sealyard migrate seal clinic.yaml

    A job file says where values are stored, and what each is bound to. A run that was ended at any
    point goes on where it was: values are recognised by opening them, and none is sealed twice.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the job, and the options that all verbs share."""

    @click.argument("job_file", metavar="JOB", type=FILE)
    @click.option(
        "--rate", type=console.Number(0.1, MOST_RATE), help="At most so many rows a second."
    )
    @click.option(
        "--workers",
        type=click.IntRange(1, MOST_WORKERS),
        default=1,
        show_default=True,
        help="So many processes, each with ranges of keys of its own. Not for streams.",
    )
    @click.option("--report", "report_file", type=FILE, help="Write a signed report to this file.")
    @console.as_json
    @keyring_options
    @wraps(command)
    def with_options(*args: Any, **options: Any) -> None:  # noqa: ANN401 - what click passes
        command(*args, **options)

    return with_options


_state_option = click.option(
    "--state", type=FILE, help="Where the run keeps how far it is; default: JOB.VERB.state."
)


@migrate.command()
@_options
def plan(place: KeyringPlace, **options: Any) -> None:  # noqa: ANN401 - see `_options`
    """Report what `seal` would do, and what would not fit. Changes nothing.

    \b
    sealyard migrate plan clinic.yaml
    sealyard migrate plan clinic.yaml --json

    Exits with 1 if values would be left that are not sealed.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    _run(place, "plan", **options)


@migrate.command()
@_state_option
@_options
def seal(place: KeyringPlace, **options: Any) -> None:  # noqa: ANN401 - see `_options`
    """Seal the values that are not sealed yet.

    \b
    sealyard migrate seal clinic.yaml --rate 2000 --workers 4
    sealyard migrate seal letters.yaml < letters.csv > sealed.csv

    A row that somebody else changes meanwhile is left and counted. Exits with 1 if values are left.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    _run(place, "seal", **options)


@migrate.command()
@_options
def verify(place: KeyringPlace, **options: Any) -> None:  # noqa: ANN401 - see `_options`
    """Prove that every value is sealed: it opens each, in one state of the database.

    \b
    sealyard migrate verify clinic.yaml --report proof.jws
    sealyard migrate verify letters.yaml < sealed.csv

    Exits with 1 if a value is plain, does not open, or is bound to something else.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    _run(place, "verify", **options)


@migrate.command()
@_state_option
@_options
def reseal(place: KeyringPlace, **options: Any) -> None:  # noqa: ANN401 - see `_options`
    """Seal anew what has another KEK than the primary, another form, or a former binding.

    \b
    sealyard migrate reseal clinic.yaml
    sealyard migrate reseal clinic.yaml --rate 2000 --report resealed.jws

    Plain values stay plain. Exits with 1 if there are any, or if values are left.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    _run(place, "reseal", **options)


@migrate.command()
@click.option("--drop", is_flag=True, help="Remove all tags instead.")
@click.option("--conversation", help="With --drop: remove the tags of this conversation alone.")
@_state_option
@_options
def index(
    place: KeyringPlace,
    *,
    drop: bool,
    conversation: str | None,
    **options: Any,  # noqa: ANN401 - see `_options`
) -> None:
    """Give sealed values the tags that their index asks for, and remove others.

    \b
    sealyard migrate index clinic.yaml --rate 2000
    sealyard migrate index clinic.yaml --drop --conversation c1

    It may run beside a writer. Tags are of each generation of the index secret that the keyring
    has. Plain values stay plain. Exits with 1 if there are any, or if values are left.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if conversation is not None and (not drop or options["report_file"] is not None):
        raise click.UsageError("--conversation goes with --drop, and a report is of all rows")
    _run(place, "drop-index" if drop else "index", only=conversation, **options)


@migrate.command("open")
@_state_option
@_options
def open_(place: KeyringPlace, **options: Any) -> None:  # noqa: ANN401 - see `_options`
    """Take everything out: each token is replaced with the value that was sealed.

    \b
    sealyard migrate open clinic.yaml
    sealyard migrate open letters.yaml < sealed.csv > letters.csv

    The audit log records it first. Exits with 1 if tokens are left that do not open.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    _run(place, "open", **options)


@migrate.command("scrub")
@click.argument("job_file", metavar="JOB", type=FILE)
@click.option("--run", "runs", is_flag=True, help="Do what the user of the job may do.")
@click.option(
    "--data-dir",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Search the files below this folder of the database for old values; may be repeated.",
)
@click.option("--report", "report_file", type=FILE, help="Write a signed report to this file.")
@console.as_json
@keyring_options
def scrub_(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    *,
    job_file: Path,
    runs: bool,
    folders: tuple[Path, ...],
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Remove old values from the files of a database, and search them as evidence.

    \b
    sealyard migrate scrub clinic.yaml
    sealyard migrate scrub clinic.yaml --run --data-dir /var/lib/postgresql/17/main

    Without --run it only lists what is to be done. Tables are locked while they are rewritten, and
    binary logs are purged. Exits with 1 while a step, evidence or a clean file is missing.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    from ...migration.scrub import scrub  # noqa: PLC0415 - other verbs need no search

    for folder in folders:
        if not folder.is_dir():
            raise click.BadParameter(f"{folder} is no folder.", param_hint="--data-dir")
    job = reader.load(job_file, os.environ)
    keyring = open_keyring(place.path, place.roots)
    place.write_down(keyring, "migrate.scrub", job=job.digest)
    order = Order(job, "scrub", keyring, (sys.stdin.buffer, None), time.time)
    with in_words(), _interruptible():
        done = asyncio.run(scrub(order, folders, runs=runs))
    _write_report(report_file, done, keyring)
    if as_json:
        undone = [{**step._asdict(), "why": why} for step, why in done.undone]
        said = {"left": done.left, "done": [one.sql for one in done.done], "undone": undone}
        about = {"drawn": done.tally.rows, "proves": done.proves, "not_covered": done.not_covered}
        click.echo(json.dumps(said | about))
    else:
        for line in (
            *(f"done: {one.sql}; it removes {one.removes}" for one in done.done),
            *(f"to do: {one.sql}; it removes {one.removes} ({why})" for one, why in done.undone),
            *([f"proves: {done.proves}"] if done.proves else []),
            *(f"does not prove: {one}" for one in done.not_covered),
        ):
            click.echo(console.printable(line))
    sys.exit(ExitCode.NEGATIVE if done.left else ExitCode.OK)


@migrate.command()
@click.argument("job_file", metavar="JOB", type=click.Path(exists=True, path_type=Path))
@click.argument("word", type=click.Choice(["pause", "resume", "stop"]))
def tell(*, job_file: Path, word: Literal["pause", "resume", "stop"]) -> None:
    """Tell the runs of a job that write to pause, to go on, or to stop, from elsewhere.

    \b
    sealyard migrate tell clinic.yaml pause
    sealyard migrate tell clinic.yaml resume

    It is a word in JOB.told, which a run reads after each batch: then it holds no lock.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    Steering(_of(job_file, "told")).tell(None if word == "resume" else word)


@migrate.command()
@click.argument("job_file", metavar="JOB", type=FILE)
@click.option("--report", "report_file", type=FILE, help="Verify and show this report instead.")
@console.as_json
@keyring_options
def status(place: KeyringPlace, *, job_file: Path, report_file: Path | None, as_json: bool) -> None:
    """Show which runs of a job were ended early, or what a signed report says.

    \b
    sealyard migrate status clinic.yaml
    sealyard migrate status clinic.yaml --report proof.jws

    Exits with 1 if this keyring did not sign the report, or if it is of another job.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    keyring = open_keyring(place.path, place.roots)
    job = reader.load(job_file, os.environ)
    if report_file is not None:
        said = read_report(report_file, keyring)
        if said.job != job.digest:
            told = f"{report_file}: of another job than {job_file} is now: name its own, as it was"
            raise console.Failure(told)
        told = f"{said.verb}, {said.proof}, {console.utc(said.ended)}"
        if said.proves:
            told += f"\nproves: {said.proves}"
        told += "".join(f"\ndoes not prove: {one}" for one in said.not_covered)
        _show(
            said.tally, said.verb, {"verb": said.verb, "ended": said.ended}, told, as_json=as_json
        )
        return
    for verb in WRITING:
        mark = mark_of(_of(job_file, "mark"), _task(verb, keyring))
        parts = _state_file(_of(job_file, f"{verb}.state"), job, verb, keyring, mark).read()
        if parts is not None:
            told = f"{verb}: ended early; run it again to go on"
            _show(total(parts), verb, {"verb": verb}, told, as_json=as_json)


def _run(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    verb: Verb,
    *,
    job_file: Path,
    rate: float | None,
    workers: int,
    report_file: Path | None,
    as_json: bool,
    state: Path | None = None,
    only: str | None = None,
) -> None:
    """Run a verb; end with 1 if it leaves values that are not as they are to be."""
    job = reader.load(job_file, os.environ)
    if workers > 1 and isinstance(job.place, Pipe):
        raise click.UsageError("a stream has one reader: --workers is for databases")
    keyring, outdated = _opened(place)
    writes = verb in WRITING
    kept = None
    if writes:
        place.write_down(keyring, f"migrate.{verb}", job=job.digest)
    if writes and not isinstance(job.place, Pipe):
        task = _task(verb, keyring, only)
        mark = begin_to_write(_of(job_file, "mark"), task, random=os.urandom)
        kept = _state_file(state or _of(job_file, f"{verb}.state"), job, verb, keyring, mark)
    streams = (sys.stdin.buffer, sys.stdout.buffer if writes else None)
    told, lease = Steering(_of(job_file, "told")), lease_for(place, keyring)
    order = Order(job, verb, keyring, streams, time.time, rate, kept, outdated, told, lease, only)
    team_or_none = nullcontext() if workers == 1 else _team(order, workers)
    with in_words(), _interruptible(), team_or_none as team:
        done = asyncio.run(runner.run(order, Progress(sys.stderr, time.monotonic), team))
    left = done.left
    if writes:
        rows = done.tally.rows
        place.write_down(keyring, f"migrate.{verb}.done", job=job.digest, rows=rows, left=left)
    about: dict[str, Any] = {"verb": verb, "proof": done.proof, "left": left, "advice": done.advice}
    if verb == "plan":
        about["seconds"] = done.seconds
        about["costs"] = [one._asdict() for one in done.costs]
    if done.keepers:
        about["keepers"] = [one._asdict() for one in done.keepers]
    if verb == "verify":
        about |= {"proves": done.proves, "not_covered": done.not_covered}
    err = writes and isinstance(job.place, Pipe)
    _show(done.tally, verb, about, f"{verb}: {done.proof}", as_json=as_json, err=err)
    for line in () if as_json else (*done.advice, *_beside(done)):
        click.echo(console.printable(line), err=err)
    _write_report(report_file, done, keyring)
    sys.exit(ExitCode.NEGATIVE if left else ExitCode.OK)


def _write_report(file: Path | None, done: report.MigrationRun, keyring: Keyring) -> None:
    if file is not None:
        private_file.write(file, report.sign(done, keyring).encode() + b"\n")
        console.say(f"wrote {file}")


def _opened(place: KeyringPlace) -> tuple[Keyring, Callable[[], bool]]:
    """Return the keyring, and what tells later whether another KEK has become the primary."""
    seen = b""
    with suppress(KeyringError):  # opening says what to do
        seen = private_file.read(place.path, MAX_FILE_BYTES)
    keyring = open_keyring(place.path, place.roots)

    def outdated() -> bool:
        nonlocal seen
        found = private_file.read(place.path, MAX_FILE_BYTES)
        if found == seen:
            return False
        seen = found
        return open_keyring(place.path, place.roots).primary.id != keyring.primary.id

    return keyring, outdated


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a run at once. asyncio waits for a pause, which a run does not make."""
    before = signal.signal(signal.SIGINT, partial(signal.default_int_handler))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _team(order: Order, workers: int) -> Team:
    from ...migration.team import Team  # noqa: PLC0415 - takes memory, which one process is to save

    return Team(order, workers)


def _state_file(path: Path, job: Job, verb: Verb, keyring: Keyring, mark: str) -> StateFile:
    """Return where a run keeps how far it is."""
    identity = f"{job.digest} {job.given} {verb} {keyring.id} {job.place.name}"
    return StateFile(path, identity, keyring.record_key, mark)


def _of(job_file: Path, what: str) -> Path:
    """Return a file of a job's runs, beside it.

    `VERB.state` is how far a run is, `mark` the verb that was the last one to write, since it may
    undo what others did, and `told` what a run is told from elsewhere.
    """
    return job_file.with_name(f"{job_file.name}.{what}")


def _task(verb: Verb, keyring: Keyring, only: str | None = None) -> str:
    """Return what a mark is of: a verb, and the primary KEK where it says what is done.

    Of `only` one conversation, its digest is a part of it.
    """
    if only is not None:
        return f"{verb} {sha256(only.encode(errors='surrogatepass')).hexdigest()}"
    return f"{verb} {keyring.primary.id}" if verb == "reseal" else verb


def _show(  # noqa: PLR0913 - each is one part of what is shown
    tally: Tally,
    verb: Verb,
    about: Mapping[str, Any],
    told: str,
    *,
    as_json: bool,
    err: bool = False,
) -> None:
    """Print counts; to stderr where the result is a stream of records."""
    if as_json:
        click.echo(json.dumps({**about, **tally.to_json()}), err=err)
        return
    click.echo(told, err=err)
    for line in _lines(tally, verb):
        click.echo(console.printable(line), err=err)


def _lines(tally: Tally, verb: Verb) -> Iterator[str]:
    """Yield a line for each column and outcome, and one that says what is left."""
    for label, outcome, count in tally.values:
        yield f"{label}: {count:,} {_said(outcome)}"
    left = tally.left(verb)
    done = {"plan": "would be left", "verify": "not sealed"}.get(verb, "left")
    yield f"{tally.rows:,} rows, {left:,} values {done}"


def _beside(done: report.MigrationRun) -> Iterator[str]:
    """Yield what else has values: of a plan with what to do, of a proof as what it is not about."""
    if done.verb == "plan":
        for one in done.keepers:
            name = f"{one.name} (accepted)" if one.name in done.job.accept else one.name
            yield f"{one.effect}: {name}: {one.told}; {one.cure}"
    if done.verb == "verify":
        yield f"proves: {done.proves}"
        yield from (f"does not prove: {one}" for one in done.not_covered)


def _said(outcome: Outcome) -> str:
    state = outcome.state
    kek = f" under {outcome.kek}" if outcome.kek else ""
    reason = f" ({outcome.reason})" if outcome.reason else ""
    return f"{state}{kek}{reason}: {STATES[state]}"

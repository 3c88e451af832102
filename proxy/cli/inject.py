"""`sealyard inject`: put sidecars into manifests, without a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..injector.pod_reader import CannotInject
from . import base
from .inject_options import injector_options, settings_of

_STDIN = "-"


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="A manifest in YAML or JSON, - for stdin; may be given more than once.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Seal pods without the label too, as in a namespace that has it.",
)
@injector_options
def inject(files: tuple[Path, ...], *, every: bool, **given: Any) -> None:  # noqa: ANN401 - options by name
    """Print manifests with the sidecar in every pod that has the label sealyard.io/inject.

    \b
    sealyard inject --image registry.example/sealyard:1.0 -f web.yaml | kubectl apply -f -
    sealyard inject --image registry.example/sealyard:1.0 --all -f web.yaml > sealed.yaml

    It is the same function as the webhook's, so the webhook finds nothing left to do. Documents
    with nothing to seal are printed as they are; those that are sealed lose their comments.

    Ends with 1, and prints nothing to stdout, when a pod cannot be sealed.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    from ..injector.manifests import inject_text  # noqa: PLC0415 - PyYAML, only where it is used

    settings = settings_of(given)
    try:
        made = [inject_text(_read(file), settings, every=every) for file in files]
    except CannotInject as refusal:
        raise base.Failure("\n".join(refusal.problems), base.NEGATIVE) from None
    for number, one in enumerate(made):
        if number and not one.text.startswith("---"):
            click.echo("---")
        click.echo(one.text, nl=not one.text.endswith("\n"))
    sealed = sum(one.sealed for one in made)
    nothing = "Nothing to seal: no pod has the label, or all are sealed already."
    base.say(f"{sealed} sealed." if sealed else nothing)


def _read(file: Path) -> str:
    try:
        if str(file) == _STDIN:
            return sys.stdin.buffer.read().decode("utf-8")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise base.Failure(f"{file}: not UTF-8", base.NEGATIVE) from None

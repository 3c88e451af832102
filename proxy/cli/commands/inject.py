"""`sealyard inject`: add the sidecar to manifests, without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, cast, get_args

import click

from ...injector.annotations import (
    INTERCEPTIONS,
    InjectorSettings,
    Interception,
    KeyKind,
    MeshKind,
    Resources,
    pod_options,
)
from ...injector.keys import key_source
from ...injector.permissions import ANY_NAMESPACE, PERMISSIONS, Policy, is_permission
from ...injector.pod_reader import CannotInject
from ...injector.roots import KINDS, RootNeeds, require_usable
from ..policy import ExitCode
from ..support import console

Command = TypeVar("Command", bound=Callable[..., Any])

_DEFAULTS: Final = InjectorSettings(image="")
_LATER_DEFAULTS: Final = Resources()


def _option(name: str, default: str, meaning: str, **more: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - click's own
    return click.option(name, default=default, show_default=bool(default), help=meaning, **more)


_OPTIONS: Final = (
    click.option(
        "--image",
        envvar="SEALYARD_IMAGE",
        required=True,
        metavar="IMAGE",
        help="The image of the sidecar, preferably with its digest.",
    ),
    click.option(
        "--pull-policy",
        type=click.Choice(["Always", "IfNotPresent", "Never"]),
        help="When the image is pulled; default: that of Kubernetes.",
    ),
    _option("--config-map", _DEFAULTS.config, "The ConfigMap with `sealyard.yaml`."),
    _option(
        "--keys-secret",
        _DEFAULTS.keys_secret,
        "The Secret with the keyring and its root secret, or KIND/NAME of another source.",
    ),
    click.option(
        "--root",
        "roots",
        multiple=True,
        default=_DEFAULTS.root.kinds,
        show_default=True,
        type=click.Choice(KINDS),
        help="A kind of root that `keys.keyring` in the ConfigMap names; may be repeated.",
    ),
    _option(
        "--root-audience",
        _DEFAULTS.root.audience,
        "Give the sidecar a token of the pod's service account for this audience.",
    ),
    _option(
        "--root-module",
        _DEFAULTS.root.module,
        "Where a PKCS#11 module is: PersistentVolumeClaim/NAME or HostPath/FOLDER.",
    ),
    _option("--root-module-path", _DEFAULTS.root.module_path, "Where the sidecar has that module."),
    _option(
        "--interception",
        _DEFAULTS.interception,
        "How connections reach the sidecar.",
        type=click.Choice(INTERCEPTIONS),
    ),
    _option(
        "--audit-volume",
        _DEFAULTS.audit_volume,
        "Where audit logs are kept: a PersistentVolumeClaim or emptyDir; default: nowhere.",
    ),
    click.option(
        "--allow",
        multiple=True,
        metavar="NAMESPACE=PERMISSION,...",
        help="What pods of a namespace may do although it weakens their protection,"
        f" {ANY_NAMESPACE} for any: {', '.join(PERMISSIONS)} (or host-path:/FOLDER); may be"
        " repeated.",
    ),
    click.option(
        "--trust-image",
        "images",
        multiple=True,
        metavar='"IMAGE [COMMAND...]"',
        help="An image of a mesh: its init containers may be before the sidecar, and write rules;"
        " without a tag, all of its repository; may be repeated.",
    ),
    _option("--cpu-request", _LATER_DEFAULTS.cpu_request, "CPU request of a sidecar."),
    _option("--cpu-limit", _LATER_DEFAULTS.cpu_limit, "CPU limit of a sidecar."),
    _option("--memory-request", _LATER_DEFAULTS.memory_request, "Memory request of a sidecar."),
    _option("--memory-limit", _LATER_DEFAULTS.memory_limit, "Memory limit of a sidecar."),
)


def injector_options(command: Command) -> Command:
    """Add the options to a command; `settings_of` makes settings of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(given: dict[str, Any]) -> InjectorSettings:
    """Return the settings that the options name; raise a usage error for an invalid one.

    They follow the rules of the annotations that can override them.
    """
    image = str(given["image"]).strip()
    if not image or any(char.isspace() for char in image):
        raise click.UsageError("--image must name an image")
    annotations = {
        f"sealyard.io/{annotation}": given[option]
        for option, annotation in _ANNOTATIONS.items()
        if given[option]
    }
    try:
        # An option that is empty sets nothing; the defaults are those of the options.
        nothing = Resources("", "", "", "")
        wanted = pod_options(annotations, InjectorSettings(image=image, resources=nothing))
        root = _root(given, wanted.keys_secret)
    except CannotInject as refusal:
        told = "; ".join(refusal.problems).replace("annotation sealyard.io/", "option --")
        raise click.UsageError(told) from None
    return InjectorSettings(
        image=image,
        pull_policy=given["pull_policy"] or "",
        config=wanted.config,
        keys_secret=wanted.keys_secret,
        interception=cast("Interception", given["interception"]),
        resources=wanted.resources,
        audit_volume=wanted.audit_volume,
        root=root,
        policy=Policy(_allowed(given["allow"]), frozenset(given["images"])),
    )


def _root(given: dict[str, Any], keys_secret: str) -> RootNeeds:
    """Return what the roots need in a pod. Raises CannotInject."""
    needs = RootNeeds(
        tuple(dict.fromkeys(given["roots"])),
        given["root_audience"],
        given["root_module"],
        given["root_module_path"],
    )
    in_config_map = key_source(keys_secret).kind is KeyKind.CONFIG_MAP
    require_usable(needs, in_config_map=in_config_map)
    return needs


def _allowed(written: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Return the pairs of namespace and permission; raise a usage error for an unknown one."""
    pairs = set()
    for one in written:
        namespace, equals, permissions = one.partition("=")
        for permission in permissions.split(","):
            if not namespace or not equals or not is_permission(permission):
                raise click.UsageError(
                    f"--allow `{one}` does not fit; it must be NAMESPACE=PERMISSION,... of"
                    f" {', '.join(PERMISSIONS)}"
                )
            pairs.add((namespace, permission))
    return frozenset(pairs)


_ANNOTATIONS: Final = {
    "config_map": "config",
    "keys_secret": "keys-secret",
    "audit_volume": "audit-volume",
    "cpu_request": "cpu-request",
    "cpu_limit": "cpu-limit",
    "memory_request": "memory-request",
    "memory_limit": "memory-limit",
}


_STDIN = "-"
_BOTH: Final = get_args(MeshKind)
"""A manifest does not tell which: a pod has to opt out of both."""


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="A manifest in YAML or JSON, - for stdin; may be repeated.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Inject into pods without the label, too, as in a namespace with the label.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what the pods would lose, or why they would be denied."
)
@click.option("--mesh", is_flag=True, help="The namespace of the pods is in a service mesh.")
@injector_options
def inject(
    files: tuple[Path, ...],
    *,
    every: bool,
    dry_run: bool,
    mesh: bool,
    **given: Any,  # noqa: ANN401 - options by name
) -> None:
    """Print manifests with the sidecar in every pod that has the label sealyard.io/inject.

    \b
    sealyard inject --image registry.example/sealyard:1.0 -f web.yaml | kubectl apply -f -
    sealyard inject --image registry.example/sealyard:1.0 --all -f web.yaml > sealed.yaml

    The webhook runs the same function, so it leaves these pods as they are. Documents without
    such a pod are printed unchanged; changed documents lose their comments.

    Exits with 1, and prints nothing to stdout, if injection into a pod is not possible. With
    --dry-run, it prints a line for each thing that a pod would lose, and why it would be denied.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    from ...injector.manifests import inject_text  # noqa: PLC0415 - PyYAML, only where it is used

    settings = replace(settings_of(given), meshes=_BOTH if mesh else ())
    if dry_run:
        _tell(files, settings, every=every)
    try:
        made = [inject_text(read_manifest(file), settings, every=every) for file in files]
    except CannotInject as refusal:
        raise console.Failure("\n".join(refusal.problems)) from None
    for number, one in enumerate(made):
        if number and not one.text.startswith("---"):
            click.echo("---")
        click.echo(one.text, nl=not one.text.endswith("\n"))
    sealed = sum(one.sealed for one in made)
    nothing = "No sidecar added: no pod has the label, or all have the sidecar already."
    console.say(f"Sidecar added to {sealed}." if sealed else nothing)


def _tell(files: Sequence[Path], settings: InjectorSettings, *, every: bool) -> NoReturn:
    from ...injector.losses import of_manifest  # noqa: PLC0415 - PyYAML, only where it is used
    from ...injector.manifests import documents  # noqa: PLC0415 - as above

    denied = False
    for file in files:
        for document in documents(read_manifest(file)):
            for line in of_manifest(document, settings, every=every):
                denied = denied or line.startswith("denied: ")
                click.echo(console.printable(line))
    sys.exit(ExitCode.NEGATIVE if denied else ExitCode.OK)


def read_manifest(file: Path) -> str:
    """Return the text of a manifest, `-` for that on stdin."""
    try:
        if str(file) == _STDIN:
            return sys.stdin.buffer.read().decode("utf-8")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise console.Failure(f"{file}: not UTF-8") from None

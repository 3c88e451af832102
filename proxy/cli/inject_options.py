"""The options of `inject` and `injector`: what the operator of a cluster decides for all pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import click

from ..injector.annotations import InjectorSettings, Interception, Resources, wishes
from ..injector.pod_reader import CannotInject

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
        help="The image of the sidecar, best with its digest.",
    ),
    click.option(
        "--pull-policy",
        type=click.Choice(["Always", "IfNotPresent", "Never"]),
        help="When the image is pulled; unless given, as Kubernetes would choose.",
    ),
    _option("--config-map", _DEFAULTS.config, "The ConfigMap with `sealyard.yaml`."),
    _option("--keys-secret", _DEFAULTS.keys_secret, "The Secret with the keyring and what opens."),
    _option(
        "--interception",
        _DEFAULTS.interception,
        "How connections come to the sidecar.",
        type=click.Choice(["redirect", "port-env"]),
    ),
    _option(
        "--audit-volume",
        _DEFAULTS.audit_volume,
        "Where audit logs are kept: a PersistentVolumeClaim, or emptyDir; none unless given.",
    ),
    _option("--cpu-request", _LATER_DEFAULTS.cpu_request, "CPU that a sidecar is sure of."),
    _option("--cpu-limit", _LATER_DEFAULTS.cpu_limit, "CPU that it may use at most."),
    _option("--memory-request", _LATER_DEFAULTS.memory_request, "Memory that it is sure of."),
    _option("--memory-limit", _LATER_DEFAULTS.memory_limit, "Memory that it may use at most."),
)


def injector_options(command: Command) -> Command:
    """Add the options to a command; `settings_of` makes settings of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(given: dict[str, Any]) -> InjectorSettings:
    """Return the settings that the options name; raise a usage error for one that cannot be meant.

    They are held to the rules of the annotations that can replace them.
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
        wanted = wishes(annotations, InjectorSettings(image=image))
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
    )


_ANNOTATIONS: Final = {
    "config_map": "config",
    "keys_secret": "keys-secret",
    "audit_volume": "audit-volume",
    "cpu_request": "cpu-request",
    "cpu_limit": "cpu-limit",
    "memory_request": "memory-request",
    "memory_limit": "memory-limit",
}

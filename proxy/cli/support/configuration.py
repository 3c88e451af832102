"""The configuration that a command works with, and the option that names it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ...config.places import find
from ...config.settings import ListenerSettings, Loaded, Settings
from ...core.errors import ConfigurationError
from .console import FILE

config_option = click.option(
    "--config",
    type=FILE,
    envvar="SEALYARD_CONFIG",
    metavar="FILE",
    help="The configuration file; default: $SEALYARD_CONFIG, else the first of the usual places.",
)


def load_configuration(chosen: Path | None) -> Loaded:
    """Return the configuration that `--config` names, else the first of the usual places.

    Raises ConfigurationError with all errors at once.
    """
    return _load(find(chosen, os.environ, Path.cwd()))


def configuration_if_any(chosen: Path | None) -> Loaded | None:
    """Return the configuration as `load_configuration` does, or None where there is no file."""
    try:
        path = find(chosen, os.environ, Path.cwd())
    except ConfigurationError:
        return None
    return _load(path)


def _load(path: Path) -> Loaded:
    from ...config.load import load  # noqa: PLC0415 - `serve` reads it in another process

    return load(path, os.environ)


def listener_named(settings: Settings, name: str | None) -> ListenerSettings:
    """Return the listener of a name; None: the only one. Raises a usage error for any other."""
    names = [one.name for one in settings.listeners]
    if name is None and len(names) == 1:
        return settings.listeners[0]
    for one in settings.listeners:
        if one.name == name:
            return one
    told = "is missing" if name is None else f"`{name}` is unknown"
    raise click.UsageError(f"--listener {told}; one of: {', '.join(names)}")

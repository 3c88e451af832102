"""The `sealyard` command: a table of commands, each imported only when it is asked for."""

from __future__ import annotations

from typing import Final

import click

from .. import __version__
from .support.lazy import CommandPlace, LazyGroup

COMMANDS: Final = {
    "serve": CommandPlace("serve", "Run the sidecar."),
    "validate": CommandPlace("validate", "Check a configuration and report every mistake."),
    "explain": CommandPlace("explain", "Tell what would happen to a message."),
    "inspect": CommandPlace("inspect", "Tell what a token says about itself; needs no key."),
    "encrypt": CommandPlace("seal", "Seal a value as a rule would."),
    "decrypt": CommandPlace("seal", "Open a token as a rule would."),
    "sessions": CommandPlace(
        "sessions", "Show, rotate, revoke and erase sessions of a conversation."
    ),
    "participants": CommandPlace("participants", "Make, rotate and revoke participants' keys."),
    "audit": CommandPlace("audit", "Check and show the audit log."),
    "keys": CommandPlace("keys", "Make, change, check and back up the keyring."),
    "tap": CommandPlace("tap", "Show messages as they pass, by kind and size."),
    "observed": CommandPlace("observed", "Tell what rules that only observe would have done."),
    "doctor": CommandPlace("doctor", "Find out what keeps Sealyard from working here."),
    "inject": CommandPlace("inject", "Put the sidecar into Kubernetes manifests."),
    "injector": CommandPlace("injector", "Run the webhook that puts it into pods."),
    "demo": CommandPlace("demo", "Show it all with nothing installed."),
    "init": CommandPlace("init", "Write a first configuration and keyring."),
    "schema": CommandPlace("documents", "Print the JSON Schema of the configuration."),
    "openapi": CommandPlace("documents", "Print the OpenAPI document of the admin API."),
    "version": CommandPlace("version", "Print the versions of Sealyard and what it stands on."),
}


@click.group(
    "sealyard",
    cls=LazyGroup,
    places=COMMANDS,
    package=f"{__name__}.commands",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="sealyard", message="%(prog)s %(version)s")
def main() -> None:
    """Seal and open message fields on their way to and from a service.

    \b
    sealyard init
    sealyard serve --config sealyard.yaml
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped

"""The `sealyard` command: a table of commands, each imported only when it runs."""

from __future__ import annotations

from typing import Final

import click

from .. import __version__
from .support.lazy import CommandPlace, LazyGroup

COMMANDS: Final = {
    "serve": CommandPlace("serve", "Run the sidecar."),
    "validate": CommandPlace("validate", "Check a configuration and report every error."),
    "explain": CommandPlace("explain", "Show which rule matches a message and what it does."),
    "test": CommandPlace("rule_tests", "Run cases for the rules, and find what they miss."),
    "contract": CommandPlace(
        "contract", "Make rules from an OpenAPI description, and find their drift."
    ),
    "inspect": CommandPlace("inspect", "Show what a token says without a key."),
    "encrypt": CommandPlace("seal", "Seal a value as a rule would."),
    "decrypt": CommandPlace("seal", "Open a token as a rule would."),
    "sessions": CommandPlace(
        "sessions", "Show, rotate, revoke and erase the sessions of a conversation."
    ),
    "participants": CommandPlace("participants", "Add, rotate and revoke participants' keys."),
    "audit": CommandPlace("audit", "Verify and show the audit log."),
    "keys": CommandPlace("keys", "Create, change, check and back up the keyring."),
    "migrate": CommandPlace("migrate", "Seal what is stored already, and take it out again."),
    "status": CommandPlace("status", "Show what a running Sealyard does."),
    "doctor": CommandPlace("doctor", "Diagnose what keeps Sealyard from working here."),
    "inject": CommandPlace("inject", "Add the sidecar to Kubernetes manifests."),
    "injector": CommandPlace("injector", "Run the webhook that adds the sidecar to pods."),
    "demo": CommandPlace("demo", "Run a demo; it needs nothing installed."),
    "init": CommandPlace("init", "Write a first configuration and keyring."),
    "schema": CommandPlace("documents", "Print the JSON Schema of the configuration."),
    "openapi": CommandPlace("documents", "Print the OpenAPI document of the admin API."),
    "completion": CommandPlace(
        "completion", "Print the script that completes commands in a shell."
    ),
    "version": CommandPlace("version", "Print the versions of Sealyard and its dependencies."),
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
    """  # noqa: D301 - click's own mark for lines that must not be wrapped

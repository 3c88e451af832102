"""The `sealyard` command: a table of commands, each imported only when it runs."""

from __future__ import annotations

from typing import Final

import click

from .. import __version__
from .support.lazy import CommandPlace, LazyGroup

COMMANDS: Final = {
    "Run": {
        "up": CommandPlace("up", "Write what is missing and serve, with the status page."),
        "init": CommandPlace("init", "Write a first configuration and keyring."),
        "serve": CommandPlace("serve", "Run the sidecar."),
        "ready": CommandPlace("ready", "Wait until a Sealyard that starts is ready."),
        "status": CommandPlace("status", "Show what a running Sealyard does, and what leaks."),
        "doctor": CommandPlace("doctor", "Diagnose what keeps Sealyard from working here."),
        "demo": CommandPlace("demo", "Run a demo; it needs nothing installed."),
    },
    "Rules": {
        "validate": CommandPlace("validate", "Check a configuration and report every error."),
        "explain": CommandPlace("explain", "Show which rule matches a message and what it does."),
        "test": CommandPlace("rule_tests", "Run cases for the rules, and find what they miss."),
        "contract": CommandPlace(
            "contract", "Make rules from an OpenAPI description, and find their drift."
        ),
    },
    "Values": {
        "inspect": CommandPlace("inspect", "Show what a token says without a key."),
        "encrypt": CommandPlace("seal", "Seal a value as a rule would."),
        "decrypt": CommandPlace("seal", "Open a token as a rule would."),
        "migrate": CommandPlace("migrate", "Seal what is stored already, and take it out again."),
    },
    "Keys": {
        "keys": CommandPlace("keys", "Create, change, check and back up the keyring."),
        "sessions": CommandPlace(
            "sessions", "Show, rotate, revoke and erase the sessions of a conversation."
        ),
        "participants": CommandPlace("participants", "Add, rotate and revoke participants' keys."),
        "audit": CommandPlace("audit", "Verify and show the audit log."),
    },
    "Kubernetes and tools": {
        "inject": CommandPlace("inject", "Add the sidecar to Kubernetes manifests."),
        "injector": CommandPlace(
            "injector", "Run the webhook that adds the sidecar to pods.", listed=False
        ),
        "cluster": CommandPlace("cluster", "Show which pods of a cluster need an operator."),
        "verify-release": CommandPlace(
            "verify_release", "Verify the files of a release before they are installed."
        ),
        "show": CommandPlace("show", "Print a schema, completions for a shell, versions."),
    },
}
"""The commands by the heading under which `--help` lists them."""


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

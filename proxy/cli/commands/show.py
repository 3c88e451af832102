"""`sealyard show`: documents for editors, shells, pipelines and clients."""

from __future__ import annotations

import click

from ..support.lazy import CommandPlace, LazyGroup


@click.group(
    cls=LazyGroup,
    places={
        "Commands": {
            "schema": CommandPlace("documents", "Print the JSON Schema of the configuration."),
            "openapi": CommandPlace("documents", "Print the OpenAPI document of the admin API."),
            "completion": CommandPlace(
                "documents", "Print the script that completes commands in a shell."
            ),
            "version": CommandPlace("version", "Print the versions of Sealyard and what it uses."),
        }
    },
    package=__package__,
)
def show() -> None:
    """Print a document: a schema, a description, a script of a shell, versions.

    \b
    sealyard show schema > sealyard.schema.json
    sealyard show version
    """  # noqa: D301 - click's own mark for lines that must not be wrapped

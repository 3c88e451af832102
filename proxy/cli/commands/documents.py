"""`sealyard schema` and `sealyard openapi`: documents for editors, pipelines and clients."""

from __future__ import annotations

import json
from importlib import import_module

import click


@click.command()
@click.option("--compact", is_flag=True, help="Print it on one line.")
def schema(*, compact: bool) -> None:
    """Print the JSON Schema of the configuration.

    \b
    sealyard schema > sealyard.schema.json
    sealyard schema --compact
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    document = import_module("....config.schema.json_schema", __name__).schema()
    click.echo(json.dumps(document, indent=None if compact else 2, ensure_ascii=False))


@click.command()
@click.option("--compact", is_flag=True, help="Print it on one line.")
def openapi(*, compact: bool) -> None:
    """Print the OpenAPI 3.1 document of the admin API.

    \b
    sealyard openapi > sealyard.openapi.json
    sealyard openapi --compact

    A running Sealyard serves it at /openapi.json of its admin listener.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    document = import_module("....admin.routes.table", __name__).api()
    click.echo(json.dumps(document, indent=None if compact else 2, ensure_ascii=False))

"""`sealyard schema`: the JSON Schema of the configuration, for editors and pipelines."""

from __future__ import annotations

import json
from importlib import import_module

import click


@click.command()
@click.option("--compact", is_flag=True, help="Print it as one line.")
def schema(*, compact: bool) -> None:
    """Print the JSON Schema of the configuration.

    \b
    sealyard schema > sealyard.schema.json
    sealyard schema --compact
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    document = import_module("....config.schema.json_schema", __name__).schema()
    click.echo(json.dumps(document, indent=None if compact else 2, ensure_ascii=False))

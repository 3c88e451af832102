"""`sealyard show`: documents for editors, shells, pipelines and clients."""

from __future__ import annotations

import json
from importlib import import_module

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.option("--compact", is_flag=True, help="Print it on one line.")
@click.option("--job", is_flag=True, help="That of the job files of `migrate`.")
def schema(*, compact: bool, job: bool) -> None:
    """Print the JSON Schema of the configuration, or of job files.

    \b
    sealyard show schema > sealyard.schema.json
    sealyard show schema --job > job.schema.json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    module = "....migration.job.schema" if job else "....config.schema.json_schema"
    document = import_module(module, __name__).schema()
    click.echo(json.dumps(document, indent=None if compact else 2, ensure_ascii=False))


@click.command()
@click.option("--compact", is_flag=True, help="Print it on one line.")
def openapi(*, compact: bool) -> None:
    """Print the OpenAPI 3.1 document of the admin API.

    \b
    sealyard show openapi > sealyard.openapi.json
    sealyard show openapi --compact

    A running Sealyard serves it at /openapi.json of its admin listener.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    document = import_module("....admin.routes.table", __name__).api()
    click.echo(json.dumps(document, indent=None if compact else 2, ensure_ascii=False))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands and options.

    \b
    sealyard show completion bash > ~/.local/share/bash-completion/completions/sealyard
    sealyard show completion zsh > "${fpath[1]}/_sealyard"
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    maker = get_completion_class(shell)
    root = context.find_root()
    if maker is None or root.info_name is None:
        raise click.UsageError(f"no completion for {shell}")
    variable = f"_{root.info_name.upper()}_COMPLETE"
    click.echo(maker(root.command, {}, root.info_name, variable).source())

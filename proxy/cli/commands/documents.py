"""`sealyard show`: documents for editors, shells, pipelines and clients."""

from __future__ import annotations

import json
from importlib import import_module

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
_FILES = {
    "job": ("....migration.job.model", "JOB", "Sealyard migration job"),
    "cases": ("....cli.support.rule_cases", "CASES", "Sealyard rule cases"),
}
"""Other files than the configuration: where their keys are declared, and their titles."""


@click.command()
@click.option("--compact", is_flag=True, help="Print it on one line.")
@click.option("--job", "kind", flag_value="job", help="That of the job files of `migrate`.")
@click.option("--cases", "kind", flag_value="cases", help="That of the cases of `test`.")
def schema(*, compact: bool, kind: str | None) -> None:
    """Print the JSON Schema of the configuration, of job files, or of cases.

    \b
    sealyard show schema > sealyard.schema.json
    sealyard show schema --job > job.schema.json
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    made = import_module("....config.schema.json_schema", __name__).schema
    if kind is None:
        document = made()
    else:
        module, name, title = _FILES[kind]
        document = made(getattr(import_module(module, __name__), name), title)
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
    document = import_module("....admin.openapi", __name__).api()
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

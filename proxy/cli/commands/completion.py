"""`sealyard show completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


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

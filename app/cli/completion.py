"""`ringkv completion`: what makes a shell complete the commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes `ringkv` in SHELL.

    \b
    bash   ringkv completion bash > ~/.local/share/bash-completion/completions/ringkv
    zsh    ringkv completion zsh > a directory of $fpath, as _ringkv
    fish   ringkv completion fish > ~/.config/fish/completions/ringkv.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows this shell"
    click.echo(kind(ctx.find_root().command, {}, "ringkv", "_RINGKV_COMPLETE").source())

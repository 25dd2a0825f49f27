"""`ringkv shell`: the commands without `ringkv` before them, one line after the other."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from app.cli.talking import IN_SHELL, note

PROMPT = "ringkv> "
HISTORY_LINES_MAX = 1_000

# These take over the terminal, or would be a shell in a shell.
_NOT_HERE = frozenset(("shell", "node", "up", "completion"))
_HELP = "Type a command as after `ringkv`, such as `put greeting hello`; `help` lists all, `exit` or Ctrl-D ends this."


@click.command()
@click.option("--url", help="A gateway; several, separated by commas, take over from each other.")
@click.pass_context
def shell(ctx: click.Context, /, url: str | None) -> None:
    """Type commands one after the other, without `ringkv` before them.

    In a terminal the arrow keys bring lines back, and the Tab key completes commands, options, nodes and partitions.
    From a file or a pipe each line is a command, a line that begins with # is none, and the exit code is 1 when one
    of them failed.
    """
    root = ctx.find_root().command
    assert isinstance(root, click.Group), "the command line is a group of commands"
    lines = _typed(root) if sys.stdin.isatty() else _piped()
    has_failed = False
    for line in lines:
        has_failed = not _run(root, line, url) or has_failed
    if has_failed and not sys.stdin.isatty():
        ctx.exit(1)


def _run(root: click.Group, line: str, url: str | None) -> bool:
    """Whether the command of this line did what it was asked for."""
    try:
        words = shlex.split(line, comments=False)
    except ValueError as error:
        note(f"Error: {str(error).lower()}; put quotes around what has spaces in it, and close them")
        return False
    if not words or words[0].startswith("#"):
        return True
    if words[0] == "help":
        words = [*words[1:2], "--help"]
    if words[0] in _NOT_HERE:
        note(f"Error: {words[0]} does not run in here; leave with `exit`, and type `ringkv {words[0]}`")
        return False
    command = root.get_command(click.Context(root), words[0])
    if url is not None and command is not None and any(option.name == "url" for option in command.params):
        words[1:1] = ["--url", url]
    try:
        code = root.main(words, prog_name="ringkv", standalone_mode=False, obj=IN_SHELL)
    except click.ClickException as error:
        error.show()
        return False
    except (click.Abort, KeyboardInterrupt):
        note("")
        return False
    except SystemExit as error:
        code = error.code
    return code in (None, 0)


def _piped() -> Iterator[str]:
    for line in sys.stdin:
        yield line.rstrip("\n")


def _typed(root: click.Command) -> Iterator[str]:
    """The lines that somebody types, until they end it."""
    note(_HELP)
    with _editing(root):
        while True:
            try:
                line = input(PROMPT)
            except KeyboardInterrupt:
                note("")
                continue
            except EOFError:
                note("")
                return
            if line.strip() in {"exit", "quit"}:
                return
            yield line


@contextlib.contextmanager
def _editing(root: click.Command) -> Iterator[None]:
    """Lines can be edited, completed and brought back, also in the next session."""
    try:
        import readline
    except ImportError:  # a Python that was built without it
        yield
        return
    readline.set_completer(_Completer(root).complete)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete")
    path = _history_path()
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES_MAX)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            readline.write_history_file(path)


def _history_path() -> Path:
    return Path(click.get_app_dir("ringkv")) / "shell_history"


class _Completer:
    """What the Tab key offers, as a shell's completion of `ringkv` does."""

    def __init__(self, root: click.Command) -> None:
        self._root = root
        self._found: list[str] = []

    def complete(self, incomplete: str, number: int) -> str | None:
        if number == 0:
            self._found = self._look_up(incomplete)
        return self._found[number] if number < len(self._found) else None

    def _look_up(self, incomplete: str) -> list[str]:
        import readline

        begun = readline.get_line_buffer()[: readline.get_begidx()]
        try:
            words = shlex.split(begun)
        except ValueError:
            return []
        return completions(self._root, words, incomplete)


def completions(root: click.Command, words: list[str], incomplete: str) -> list[str]:
    """What may come after these words, and begins so."""
    from click.shell_completion import ShellComplete

    found = ShellComplete(root, {}, "ringkv", "").get_completions(words, incomplete)
    return [f"{item.value} " for item in found if item.type == "plain" and item.value not in _NOT_HERE]

"""The commands there are, and how errors are told.

A command's module is loaded when the command is asked for: each brings half a second of libraries
that the others can do without.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import typer
from perdure_common.errors import Told
from rich.markup import escape
from typer._click.core import Command, Context  # typer exports neither
from typer._click.exceptions import ClickException
from typer.core import TyperGroup

from perdure_cli.errors import CommandError
from perdure_cli.output import errors, show

COMMANDS = {
    "demo": ("demo", "demo"),
    "up": ("up", "up"),
    "down": ("up", "down"),
    "status": ("status", "status"),
    "run": ("running", "run"),
    "trigger": ("running", "trigger"),
    "workflow": ("workflows", "app"),
    "template": ("templates", "app"),
    "executions": ("signaling", "app"),
    "vars": ("variables", "app"),
    "static-data": ("variables", "static_data"),
    "triggers": ("trying", "app"),
    "nodes": ("nodes", "app"),
    "credentials": ("credentials", "app"),
    "recovery": ("recovery_people", "app"),
    "dead-letters": ("dead_letters", "app"),
    "verify": ("checks", "verify"),
    "replay": ("checks", "replay"),
    "fence": ("restoring", "fence"),
    "migrate": ("machine", "migrate"),
    "doctor": ("machine", "doctor"),
}
"""Each command: its module here, and the function or the group of commands in it."""


class Commands(TyperGroup):
    """The commands by name, each loaded when it is needed."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command, None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"perdure_cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            command: Command = typer.main.get_group(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name)(found)
            command = typer.main.get_command(alone)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="perdure",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def perdure() -> None:
    """Run AI-agent workflows around the clock."""


def tell_program(code: str, message: str, more: Mapping[str, Any]) -> None:
    """Tell an error as JSON, on stdout, where programs read every answer."""
    show({"error": {"code": code, "message": message, **more}})


def fail(error: Told, *, as_json: bool) -> NoReturn:
    """Tell an error in one sentence and end."""
    if as_json:
        more = error.more if isinstance(error, CommandError) else {}
        tell_program(error.code, str(error), more)
    else:
        errors.print(f"[red]perdure:[/red] {escape(str(error))}")
    raise SystemExit(error.exit_code)


def main() -> None:
    """Run the command line; `--debug` anywhere shows where an error came from."""
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug, as_json = len(arguments) < len(sys.argv) - 1, "--json" in arguments
    try:
        # Errors of usage are told by typer itself, unless a program asked.
        code = app(arguments, prog_name="perdure", standalone_mode=not as_json)
        raise SystemExit(code if isinstance(code, int) else 0)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except ClickException as error:
        tell_program("wrong_usage", error.format_message(), {})
        raise SystemExit(error.exit_code) from None
    except Told as error:
        if debug:
            raise
        fail(error, as_json=as_json)


if __name__ == "__main__":
    main()

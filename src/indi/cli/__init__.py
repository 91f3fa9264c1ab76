"""The command line: parse, call, print. Exit codes: 0 done, 1 our bug, 2 yours to fix, 130 interrupted."""

import io
import logging
import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from indi.cli import browser, calibrate, measure, restore, tell, toy, train  # noqa: F401 - each adds its commands to the app
from indi.cli.app import app
from indi.cli.terminal import ENDINGS, Lines, complain, interrupt, on_signals, say
from indi.errors import IndiError
from indi.plugins import load_plugins

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    log = logging.getLogger("indi")
    log.setLevel(logging.INFO)
    log.handlers = [Lines()]
    try:
        with on_signals(interrupt, *ENDINGS):
            command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
            if command.__module__.startswith("indi."):  # neither help nor the version, which need no rows
                load_plugins()
            code = command(*bound.args, **bound.kwargs)
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        called = " ".join(["indi", *(error.command_chain or [])])
        complain(f"{' '.join(str(error).split()).removesuffix('.')}; see {called} --help")
    except IndiError as error:
        complain(error)
    except BrokenPipeError:  # whoever read our output has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        complain(f"{error.filename or 'the system'}: {error.strerror or error}; choose another place, or fix this one")
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 2

"""Write the references from the code: docs/commands.md from the command line's help, docs/api.md from the docstrings.

python docs/reference.py

A test holds both files to the code.
"""

import inspect
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

import indi
from indi.cli import app
from indi.export.diffusers import InDIScheduler

DOCS = Path(__file__).parent
COMMANDS = (
    "train",
    "restore",
    "evaluate",
    "compare",
    "calibrate",
    "degrade",
    "models",
    "info",
    "export",
    "app",
    "toy",
)
_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")
_ENTRY = re.compile(r"^    (\*{0,2}[\w, .]+): (.*)$")


def commands() -> str:
    """Return the reference of the commands."""
    parts = ["# Commands\n\nWritten by [reference.py](reference.py) from the help of each command.\n"]
    for name in COMMANDS:
        console = Console(file=io.StringIO(), width=110, highlight=False, color_system=None)
        app.help_print([name], console=console)
        text = "\n".join(line.rstrip() for line in console.file.getvalue().strip().splitlines())  # type: ignore[attr-defined]
        parts.append(f"## indi {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def api() -> str:
    """Return the reference of the public names."""
    parts = ["# Python\n\nWritten by [reference.py](reference.py) from the docstrings.\n"]
    for name in sorted(set(indi.__all__) - {"__version__"}, key=str.lower):
        parts += _entry(f"indi.{name}", getattr(indi, name))
    parts += _entry("indi.export.diffusers.InDIScheduler", InDIScheduler)
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> Iterator[str]:
    yield f"## {name}\n"
    if inspect.isclass(thing):
        if not issubclass(thing, Exception | tuple):
            yield _signature(name, thing)
        yield _text(thing)
        for method, member in vars(thing).items():
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if not method.startswith("_") and inspect.isfunction(function) and function.__doc__:
                yield f"### {name.rpartition('.')[2]}.{method}\n"
                yield _signature(method, getattr(thing, method))
                yield _text(function)
    else:
        yield _signature(name, thing)
        yield _text(thing)


def _signature(name: str, thing: Any) -> str:
    parameters = [
        re.sub(r"<[^>]*>", "…", str(parameter.replace(annotation=inspect.Parameter.empty)))
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.name != "self"
    ]
    if any(p.kind is p.KEYWORD_ONLY for p in inspect.signature(thing).parameters.values()):
        kinds = [p.kind for p in inspect.signature(thing).parameters.values() if p.name != "self"]
        if inspect.Parameter.VAR_POSITIONAL not in kinds:
            parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    call = f"{name}({', '.join(parameters)})"
    if len(call) > 100:
        call = f"{name}(\n    " + ",\n    ".join(parameters) + ",\n)"
    return f"```text\n{call}\n```\n"


def _text(thing: Any) -> str:
    """Return a docstring as Markdown: sections in bold, their entries as lists."""
    lines = []
    section = ""
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if line.removesuffix(":") in _SECTIONS and line.endswith(":"):
            section = line.removesuffix(":")
            lines += [f"**{section}**", ""]
        elif section and (found := _ENTRY.match(line)):
            lines.append(f"- `{found[1]}`: {found[2]}")
        elif section and line.startswith("    "):
            lines.append(f"  {line.strip()}" if lines[-1].startswith(("-", "  ")) else line.strip())
        else:
            if line and not line.startswith(" "):
                section = ""
            lines.append(line)
    return re.sub(r"``([^`]+)``", r"`\1`", "\n".join(lines)) + "\n"


def main() -> int:
    """Write both files; return the exit code."""
    for name, text in (("commands.md", commands()), ("api.md", api())):
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

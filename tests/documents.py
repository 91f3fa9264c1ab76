"""The documents of the repository, and the code and commands that stand in them."""

import re
import shlex
from pathlib import Path

from indi.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("*/*.md"))]
DOCUMENTS = [document for document in DOCUMENTS if not document.relative_to(ROOT).parts[0].startswith((".", "demo"))]
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
RECIPES = sorted((ROOT / "src" / "indi" / "recipes").glob("*.toml"))
_FENCE = re.compile(r"^(```+|~~~+)([^\n]*)\n(.*?)^\1 *$", re.DOTALL | re.MULTILINE)


def fences(document: Path) -> list[tuple[str, str]]:
    """Return what each fence of a document says that it holds, and what it holds."""
    return [(found[2].strip(), found[3]) for found in _FENCE.finditer(document.read_text(encoding="utf-8"))]


def blocks(document: Path, language: str) -> list[str]:
    """Return the code of a document in a language."""
    return [body for kind, body in fences(document) if kind == language]


def shell_lines(document: Path) -> list[str]:
    """Return the commands of a document's shell blocks, one a line, without comments."""
    joined = "".join(blocks(document, "sh")).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


# Training is cut short, and a comparison walks once; all else is run as it stands.
SHORTER = (
    (r"--(minutes|iterations) \S+", "--iterations 2"),
    (r"\bindi (train|compare) ", r"\g<0>--size tiny "),
    (r"\bindi compare ", r"\g<0>--steps 1 "),
)


def run(line: str) -> None:
    """Run a command of indi, shortened."""
    for pattern, shorter in SHORTER:
        line = re.sub(pattern, shorter, line)
    assert main(shlex.split(line)[1:]) == 0, line


_PROGRAM = r"(?:\.venv/bin/)?(?:indi|python|pip|make|torchrun|dask) "


def commands() -> list[str]:
    """Return every command of the documents and recipes, in shell blocks, indented lines and comments."""
    found = [line for document in DOCUMENTS for line in shell_lines(document)]
    for file in [*DOCUMENTS, *RECIPES]:
        found += re.findall(rf"^(?:#  ?|    )\s*({_PROGRAM}\S.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return sorted(set(found))


def mentions() -> list[str]:
    """Return what the documents say of commands within their lines, perhaps without what a command needs."""
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    return sorted({mention for text in texts for mention in re.findall(rf"(?<!`)`({_PROGRAM}[^`\n]+)`(?!`)", text)})

"""Settings of the site: ``make site`` builds it with Sphinx from the Markdown that stands here."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils.nodes import SkipNode  # type: ignore[import-untyped]
from docutils.utils.math.latex2mathml import tex2mathml  # type: ignore[import-untyped]

from indi.version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "indi"
author = "The indi authors"
project_copyright = "the indi authors, MIT licence"
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns = ["results/*"]
html_theme = "furo"
html_title = "indi"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["formulas.css"]
html_math_renderer = "mathml"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]  # $x$ within a line, and blocks marked math: what forges show as mathematics
myst_fence_as_directive = ["math"]
html_theme_options = {"light_css_variables": {"color-brand-primary": "#c2410c", "color-brand-content": "#c2410c"}}

NOTEBOOK = Path(__file__).parent.parent / "examples" / "pairs_to_report.ipynb"


def inline_formula(writer: Any, node: Any) -> None:
    """Write a formula within a line as MathML, which browsers draw without a script."""
    writer.body.append(tex2mathml(node.astext()))
    raise SkipNode


def formula(writer: Any, node: Any) -> None:
    r"""Write a formula on a line of its own, and what its \\tag names at the right margin, as LaTeX does."""
    numbers = re.findall(r"\\tag\{(.+?)\}", node.astext())
    drawn = tex2mathml(re.sub(r"\\tag\{.+?\}", "", node.astext()), as_block=True)
    beside = "".join(f"<span>({number})</span>" for number in numbers)
    writer.body.append(f'<div class="math"><div>{drawn}</div>{beside}</div>\n')
    raise SkipNode


def add_notebook(app: "Sphinx", page: str, source: list[str]) -> None:
    """Put the cells of the notebook below what notebook.md says of it."""
    if page == "notebook":
        cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        source[0] += "".join(as_markdown(cell["cell_type"], "".join(cell["source"])) for cell in cells)


def as_markdown(kind: str, text: str) -> str:
    """Return a cell of the notebook as a part of a page, whose title is not the notebook's."""
    if kind == "code":
        return f"\n```python\n{text}\n```\n"
    return "\n" + re.sub(r"\A# .*\n", "", text) + "\n"


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx of the above."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    app.connect("source-read", add_notebook)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""One self-contained HTML page: its frame, and pictures written into it."""

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from indi.version import __version__

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Strip:
    """One image over steps: (label, (h, w, 3) uint8, metrics) for each panel, and the clean crop."""

    file: str
    panels: list[tuple[str, Pixels, Mapping[str, float | None]]]
    clean: Pixels


def page_of(title: str, body: str) -> bytes:
    """Return a page that needs no other file, no script and no network, as UTF-8."""
    title = html.escape(title)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.55 system-ui, sans-serif; margin: 2.5rem auto; max-width: 62rem; padding: 0 1.2rem; }}
h1 {{ font-size: 1.6rem; margin-bottom: .3rem; }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .5rem; }}
h3 {{ font-size: 1rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; }} .quiet {{ opacity: .72; font-size: .9rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .9rem; text-align: right; border-bottom: 1px solid #8885; white-space: nowrap; }}
th {{ font-weight: 600; }} .best {{ font-weight: 700; }}
.curve {{ width: 100%; max-width: 44rem; background: #fff; border-radius: 6px; }}
.strip {{ display: flex; gap: .6rem; padding-bottom: .5rem; }} .strip figure {{ margin: 0; flex: none; }}
.strip img {{ display: block; width: 11rem; image-rendering: pixelated; border-radius: 3px; }}
figcaption {{ font-size: .85rem; line-height: 1.35; padding-top: .3rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; font-size: .9rem; }}
dt {{ opacity: .72; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
</style></head><body>
<h1>{title}</h1>
{body}
<p class="quiet">indi {html.escape(__version__)}</p>
</body></html>
"""
    return page.encode("utf-8", "backslashreplace")  # a file name may hold what is no character


def settings_list(settings: Mapping[str, Any]) -> str:
    """Return the settings as HTML, without those that say nothing."""
    items = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in settings.items()
        if value is not None
    )
    return f"<h2>Settings</h2><dl>{items}</dl>"


def figure_tag(alt: str, png: bytes) -> str:
    """Return a figure with its picture in it."""
    return f'<img class="curve" alt="{html.escape(alt)}" src="{_inline(png)}">'


def strip_tags(strip: Strip) -> str:
    """Return a strip of pictures side by side, each with its label and figures."""
    figures = "".join(
        f'<figure><img alt="{html.escape(label)}" src="{_inline(_png(pixels))}">'
        f"<figcaption><b>{html.escape(label)}</b><br>{_caption(metrics)}</figcaption></figure>"
        for label, pixels, metrics in (*strip.panels, ("clean", strip.clean, {}))
    )
    return f'<h3>{html.escape(strip.file)}</h3><div class="scroll strip">{figures}</div>'


def _caption(metrics: Mapping[str, float | None]) -> str:
    forms = {"psnr": "{:.2f} dB", "swd": "swd {:.1f}"}
    known = {name: metrics.get(name) for name in forms}
    return " &middot; ".join(forms[name].format(value) for name, value in known.items() if value is not None)


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

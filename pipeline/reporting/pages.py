"""Render the HTML pages from their templates: each page is one self-contained file that opens without a network.

Jinja2 is imported only when a page is written. It escapes all texts; figures are inserted as they are.
"""

from __future__ import annotations

import base64
import functools
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.system.progress import format_roughly

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"
FORMATS = {
    "threshold": ".3f",
    "minutes": ".1f",
    "tiles/s": ".0f",
    "CV - test": "+.4f",
    "CV - score": "+.4f",
    "gain": "+.4f",
    "weight": ".2f",
    "empty": ".0%",
    "mean coverage": ".0%",
    "median depth": ".0f",
    "tiles/s in training": ".0f",
    "training minutes": ".1f",
    "empty accuracy": ".1%",
}
"""Formats of floats by column; four decimals in all other columns."""
TEXT_COLUMNS = {"dataset", "rules", "setting", "default", "here", "value", "rule", "taken", "folds"}
"""Columns that are aligned to the left."""


def render(template: str, **values: Any) -> str:
    """Render a template of ``templates/``.

    Args:
        template: file name without ``.html.j2``.
        values: of its variables; a missing one is an error.

    Raises:
        jinja2.TemplateError: the template is wrong, or a variable is missing.
    """
    return _environment().get_template(f"{template}.html.j2").render(**values)


@functools.cache
def _environment() -> jinja2.Environment:
    """The templates' environment. It keeps compiled templates: compiling takes far longer than rendering."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"shown": shown, "plain": plain, "roughly": format_roughly}
    environment.globals["TEXT"] = TEXT_COLUMNS
    return environment


def shown(value: Any, column: str = "") -> str:
    """A value as text.

    Args:
        value: a float is formatted as ``FORMATS`` has it for its column, an integer gets thousands separators, None and
            NaN become an empty text.
        column: its name.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return format(value, FORMATS.get(column, ".4f")).replace("%", "\u00a0%") if isinstance(value, float) else str(value)


def plain(value: Any) -> str:
    """A value as text by which a browser sorts; empty for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def drawing(figure: Figure, caption: str) -> tuple[Any, str]:
    """A figure as inline SVG in the page's colours, and its caption.

    Text, axes and the palette's colours become ``currentColor`` and CSS variables, which follow the dark mode.
    """
    # Imported here: a leaderboard without figures does not need matplotlib.
    import matplotlib as mpl
    from markupsafe import Markup

    from pipeline.reporting.figures import CSS_COLOURS

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):  # text stays text, which can be searched and is small
        figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # an id must not occur twice in a page
    for colour, name in CSS_COLOURS.items():
        text = text.replace(colour.lower(), name)
    return Markup(text), caption


def data_url(png: bytes) -> str:
    """A PNG as the address of an image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

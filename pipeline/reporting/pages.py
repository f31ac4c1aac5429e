"""HTML of the reports: each page is one self-contained file that opens from disk without a network.

All texts are escaped; functions that take HTML say so.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,"><style>
:root {{ color-scheme: light dark; }}
* {{ box-sizing: border-box; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: {width}; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }}
h2 {{ margin: 2rem 0 .5rem; }}
figure {{ margin: 0; }}
figcaption {{ font-size: .9rem; opacity: .8; }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }}
img, svg {{ display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td, th {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }}
td:first-child, th:first-child {{ text-align: left; position: sticky; left: 0; background: Canvas; }}
th button {{ all: unset; cursor: pointer; font-weight: 600; }}
th button:focus-visible {{ outline: 2px solid; }}
th[aria-sort=ascending] button::after {{ content: " \\2191"; }}
th[aria-sort=descending] button::after {{ content: " \\2193"; }}
.big {{ font-size: 2rem; font-weight: 600; margin: 0; }}
p.note {{ opacity: .8; }}
p.warning {{ border-left: .4rem solid #d60; padding: .2rem .7rem; font-weight: 600; }}
</style></head><body>
<h1>{title}</h1>
{body}
<script>
for (const table of document.querySelectorAll("table.sortable")) {{
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const sort = (head, down) => {{
    const at = heads.indexOf(head), value = row => row.cells[at].dataset.value;
    // What is not known goes last, whichever way the rest is sorted.
    const order = (one, other) => {{
      const a = value(one), b = value(other);
      if (a === "" || b === "") return (a === "") - (b === "");
      const numbers = a - b, by = Number.isNaN(numbers) ? a.localeCompare(b) : numbers;
      return down ? -by : by;
    }};
    body.append(...[...body.rows].sort(order));
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }};
  for (const head of heads)
    head.firstElementChild.onclick = () => sort(head, head.getAttribute("aria-sort") !== "descending");
}}
</script></body></html>
"""


def page(title: str, sections: Sequence[tuple[str, str]], wide: bool = False) -> str:
    """Make a page.

    Args:
        title: of the window and the first heading.
        sections: (heading, HTML) pairs; a heading may be empty.
        wide: let the page use the whole width of the window.
    """
    body = "\n".join(
        f"<section>{f'<h2>{html.escape(heading)}</h2>' if heading else ''}{content}</section>"
        for heading, content in sections
    )
    return PAGE.format(title=html.escape(title), body=body, width="none" if wide else "64rem")


def table(rows: Sequence[dict[str, Any]], sortable: bool = False) -> str:
    """Make a table.

    Args:
        rows: with the same keys, which are the names of the columns.
        sortable: a click on a column's head sorts by it.
    """
    if not rows:
        return "<p>none</p>"
    names = [html.escape(str(key)) for key in rows[0]]
    head = "".join(f"<th>{f'<button>{name}</button>' if sortable else name}</th>" for name in names)
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td data-value="{html.escape(_plain(each))}">{html.escape(shown(each))}</td>' for each in row.values()
        )
        + "</tr>"
        for row in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def shown(value: Any) -> str:
    """A value as text: four decimals of a float, thousands separators in an integer, nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def figures(*drawn: tuple[Figure, str]) -> str:
    """Figures as inline SVG, side by side where there is room, each with its caption."""
    return f'<div class="figures">{"".join(_drawing(figure, caption) for figure, caption in drawn)}</div>'


def warning(text: str) -> str:
    """A highlighted paragraph."""
    return f'<p class="warning">warning: {html.escape(text)}</p>'


def picture(png: bytes, description: str) -> str:
    """A PNG embedded in the page."""
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _drawing(figure: Figure, caption: str) -> str:
    # Imported here: a leaderboard without figures does not need matplotlib.
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):  # text stays text, which can be searched and is small
        figure.savefig(stream, format="svg")
    text = stream.getvalue()
    label = html.escape(caption)
    return (
        f'<figure role="img" aria-label="{label}">{text[text.index("<svg") :]}<figcaption>{label}</figcaption></figure>'
    )


def _plain(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)

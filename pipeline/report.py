"""The experiment's page and the leaderboard: figures and tables made from what is on disk.

A page is one self-contained HTML file: it opens from disk with no network.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.artifacts import write_text

mpl.rcParams.update(
    {
        "font.size": 11,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "none",
    }
)
# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }}
img, svg {{ max-width: 100%; height: auto; background: #fff; border-radius: 4px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td, th {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }}
td:first-child, th:first-child {{ text-align: left; }}
.big {{ font-size: 2rem; font-weight: 600; margin: 0; }}
p.note {{ opacity: .8; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A page from (heading, HTML) pairs; a heading may be empty."""
    body = "\n".join(
        f"<section>{f'<h2>{html.escape(heading)}</h2>' if heading else ''}{content}</section>"
        for heading, content in sections
    )
    return PAGE.format(title=html.escape(title), body=body)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """An HTML table; the keys of the first row are the columns."""
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{html.escape(str(key))}</th>" for key in rows[0])
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(shown(value))}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def shown(value: Any) -> str:
    """A value as a reader wants it: four digits of a score, nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def drawing(figure: Figure, description: str) -> str:
    """A figure of lines as inline SVG."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", bbox_inches="tight")
    text = stream.getvalue()
    return f'<figure role="img" aria-label="{html.escape(description)}">{text[text.index("<svg") :]}</figure>'


def picture(png: bytes, description: str) -> str:
    """A PNG inside the page."""
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def learning_curves(histories: dict[int, list[dict[str, str]]]) -> Figure:
    """Loss, validation score and learning rate over epochs, a line per fold.

    Args:
        histories: rows of each fold's ``history.csv``.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, (key, label) in zip(
        panels,
        [("loss", "training loss"), ("score", "validation score at 0.5"), ("learning_rate", "learning rate")],
        strict=True,
    ):
        for index, (fold, rows) in enumerate(histories.items()):
            epochs, values = [int(row["epoch"]) for row in rows], [float(row[key]) for row in rows]
            panel.plot(epochs, values, color=COLOURS[index % len(COLOURS)], label=f"fold {fold}", marker=".")
        panel.set(xlabel="epoch", title=label)
    panels[1].legend(fontsize=9)
    return figure


def threshold_curve(thresholds: Sequence[float], scores: Sequence[float], chosen: float, area: int) -> Figure:
    """Score on out-of-fold predictions against the threshold."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(thresholds, scores, color=COLOURS[0])
    axes.axvline(chosen, color=COLOURS[1], linestyle="--", label=f"chosen: {chosen:.3f}")
    axes.set(xlabel="threshold", ylabel="score", title=f"masks under {area} pixels emptied")
    axes.legend()
    return figure


def bars(groups: Sequence[tuple[str, float, int]], label: str) -> Figure:
    """Mean score of groups of tiles.

    Args:
        groups: (name, mean score, number of tiles).
        label: what the groups are.
    """
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    names = [f"{name}\nn={count}" for name, _, count in groups]
    axes.bar(names, [score for _, score, _ in groups], color=COLOURS[0])
    for place, (_, score, _) in enumerate(groups):
        axes.text(place, score, f"{score:.2f}", ha="center", va="bottom", fontsize=9)
    axes.set(ylabel="score", xlabel=label, ylim=(0, 1.08))
    axes.tick_params(axis="x", labelsize=8)
    return figure


def tiles_picture(
    images: np.ndarray, truth: np.ndarray, found: np.ndarray, threshold: float, titles: Sequence[str]
) -> bytes:
    """Tiles with their truth and prediction, one column a tile, as PNG.

    Args:
        images: (n, 101, 101) uint8 grey values.
        truth: (n, 101, 101) 0/1.
        found: (n, 101, 101) uint8 probabilities, v stands for v / 255.
        threshold: where a probability counts as salt.
        titles: of the tiles.
    """
    count = len(images)
    figure = Figure(figsize=(1.5 * count + 0.6, 5.2), layout="constrained")
    panels = figure.subplots(3, count, squeeze=False)
    for column in range(count):
        image, mask, chance = images[column], truth[column], found[column] / 255
        panels[0, column].imshow(image, cmap="gray", vmin=0, vmax=255)
        panels[0, column].set_title(titles[column], fontsize=8)
        panels[1, column].imshow(image, cmap="gray", vmin=0, vmax=255)
        _outline(panels[1, column], mask > 0, COLOURS[4])
        panels[2, column].imshow(chance, cmap="cividis", vmin=0, vmax=1)
        _outline(panels[2, column], mask > 0, COLOURS[4])
        _outline(panels[2, column], chance > threshold, "white")
        for row in range(3):
            panels[row, column].set(xticks=[], yticks=[])
            panels[row, column].grid(visible=False)
    for row, label in enumerate(("image", "truth", "prediction")):
        panels[row, 0].set_ylabel(label)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    return stream.getvalue()


def _outline(axes: Any, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.6)
    elif mask.all():
        axes.add_patch(
            mpl.patches.Rectangle(
                (0, 0), mask.shape[1] - 1, mask.shape[0] - 1, fill=False, edgecolor=colour, linewidth=3
            )
        )


def read_history(path: Path) -> list[dict[str, str]]:
    """Rows of a fold's ``history.csv``."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def leaderboard(receipts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per experiment and dataset, the best cross-validated score first.

    Args:
        receipts: ``result`` of each submission's manifest.
    """
    rows = []
    for result in receipts:
        cv, training, kaggle = result["cv"], result.get("training", {}), result.get("kaggle", {})
        rows.append(
            {
                "experiment": result["experiment"],
                "dataset": result["dataset"],
                "CV": cv["score"],
                "low": cv["interval"][0],
                "high": cv["interval"][1],
                "at 0.5": cv["score_at_half"],
                "folds": " ".join(f"{fold}:{score:.3f}" for fold, score in cv["folds"].items()),
                "threshold": round(cv["threshold"], 3),
                "min area": cv["min_area"],
                "test": result.get("score"),
                "public": kaggle.get("public"),
                "private": kaggle.get("private"),
                "minutes": training.get("minutes"),
                "parameters": training.get("parameters"),
                "tiles/s": training.get("tiles_per_second"),
            }
        )
    return sorted(rows, key=lambda row: (row["dataset"], -row["CV"]))


def read_receipts(folder: Path) -> list[dict[str, Any]]:
    """Results of all receipts under ``submissions/``, whatever else lies there."""
    found = []
    for path in sorted(folder.glob("*/*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))["result"]
            result["cv"]["interval"][1], result["experiment"], result["dataset"]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue
        found.append(result)
    return found


def write_leaderboard(folder: Path) -> None:
    """Write ``leaderboard.csv``, ``.md`` and ``.html`` over all receipts under ``submissions/``."""
    rows = leaderboard(read_receipts(folder))
    write_text(folder / "leaderboard.csv", as_csv(rows))
    write_text(folder / "leaderboard.md", as_markdown(rows))
    write_text(folder / "leaderboard.html", page("Leaderboard", [("", table(rows))]))


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV text."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["experiment"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    if not rows:
        return "no submissions yet\n"
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(shown(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"

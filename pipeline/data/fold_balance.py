"""How similar the folds are: numbers of tiles, salt and depths of each."""

from __future__ import annotations

import numpy as np
import pandas as pd


def balance(table: pd.DataFrame, folds: np.ndarray) -> pd.DataFrame:
    """Describe each fold.

    Args:
        table: one row per tile with the columns ``depth`` (feet) and ``coverage`` (0 to 1).
        folds: (n,) int, the fold of each row.

    Returns:
        One row per fold, in order, with the columns ``fold``, ``tiles``, ``empty`` (share of tiles without salt),
        ``coverage`` (mean) and ``depth_mean``, ``depth_min``, ``depth_25``, ``depth_50``, ``depth_75``, ``depth_max``.
    """
    rows = []
    for fold in np.unique(folds):
        part = table[np.asarray(folds) == fold]
        depth = part["depth"].to_numpy(float)
        row = {"fold": int(fold), "tiles": len(part), "empty": float((part["coverage"] == 0).mean())}
        row |= {"coverage": float(part["coverage"].mean()), "depth_mean": float(depth.mean())}
        names = ("depth_min", "depth_25", "depth_50", "depth_75", "depth_max")
        rows.append(row | dict(zip(names, map(float, np.quantile(depth, [0, 0.25, 0.5, 0.75, 1])), strict=True)))
    return pd.DataFrame(rows)


def balance_text(table: pd.DataFrame, folds: np.ndarray) -> str:
    """``balance`` as aligned plain text, one line per fold below two lines of headings."""
    lines = [
        "                         mean       depth in feet",
        "  fold   tiles   empty   coverage    mean     min     25%     50%     75%     max",
    ]
    for row in balance(table, folds).to_dict("records"):
        depths = "".join(f"{row[f'depth_{name}']:8.0f}" for name in ("mean", "min", "25", "50", "75", "max"))
        share = f"{100 * row['empty']:.1f} %"
        lines.append(f"  {row['fold']:4d}  {row['tiles']:6,d}  {share:>6}  {row['coverage']:9.3f}{depths}")
    return "\n".join(lines)

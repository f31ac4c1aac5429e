"""The ladder of experiments, from the manifests of their trainings: ``python -m benchmarks.ladder``.

It reads each experiment's validation and trainings, and prints them as a table. With ``--write`` the table goes to
``results/ladder.json``, ``LADDER.md`` with its figures, and the first lines of each experiment's TOML, so that all of
them show the same scores. Rows of rungs that are not trained here stay as they are. All rungs must have been scored on
the same tiles.

A rung is compared with its base tile by tile and seed by seed (``NAME-seed1`` is another seed of ``NAME``), see
``benchmarks.effects``.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from benchmarks.effects import AFTER_TRAINING, SEED, deviation, effects, over_seeds
from pipeline.artifacts import Freshness, Layout, read_manifest, split_name
from pipeline.config import Settings, all_experiment_names, experiment_path, load, stored
from pipeline.config.added import with_added
from pipeline.config.datasets import DEFAULT_DATASET
from pipeline.reporting.comparison import difference
from pipeline.reporting.leaderboard_entries import SCORES, read_scores
from pipeline.stages import prepare, split, train

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=HERE.parent, help="folder of data/ and submissions/")
    parser.add_argument("--dataset", default=DEFAULT_DATASET.name)
    parser.add_argument("--write", action="store_true", help="also write the figures to the project's files")
    options = parser.parse_args()
    rows = measured(options.root, options.dataset)
    path = HERE / "results" / "ladder.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["rows"] if options.write and path.is_file() else []
    if not rows and not kept:
        parser.error(f"{options.root}: no validated experiment on dataset {options.dataset}; train some rungs first")
    if not options.write:
        print("\n".join([*_table(_ordered(rows)), "", _about(rows)]))
        return
    from benchmarks.ladder_figures import draw_scores, draw_views
    from benchmarks.machine import described

    # Rows measured on other machines stay; each row names its machine.
    machine = described()["processor"]
    rows = joined(kept, [row | {"machine": machine} for row in rows])
    if not rows:
        parser.error("none of these was scored on the tiles of the table; leave --write out to see them")
    rows = _ordered(rows)
    # One row per line, so that a diff shows rows.
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f'{{"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    (HERE / "LADDER.md").write_text(_page(rows), encoding="utf-8")
    draw_scores(rows, HERE / "ladder.png")
    draw_views(rows, HERE / "views.png")
    for row in rows:
        _into_experiment(row)


def measured(root: Path, dataset: str) -> list[dict[str, Any]]:
    """A row for each experiment that was trained with the present settings of its TOML, ordered by name."""
    rows, scores = [], {}
    for name in all_experiment_names():
        settings = load(name)
        layout, freshness = Layout(root, dataset, name, settings), Freshness()
        validated = read_manifest(layout.experiment_folder / "cv.json")
        if validated is None or validated.artifact != "validate":
            continue
        folds = validated.result["folds"]
        prepared, folded = freshness.manifest(prepare.artifact(layout)), freshness.manifest(split.artifact(layout))
        made = [
            [freshness.manifest(each) for each in (train.trained(layout, fold), train.out_of_fold(layout, fold))]
            for fold in folds
        ]
        # The settings that the score depends on, from training to the smallest mask, as recorded in the manifests.
        read = [
            {**fitted.settings, **seen.settings, "submit": validated.settings["submit"]}
            for fitted, seen in made
            if fitted and seen
        ]
        now, same_split = stored(settings), folded and validated.inputs["split"] == folded.fingerprint
        if not prepared or not same_split or len(read) < len(folds) or any(changed(each, now) for each in read):
            print(f"{name}: left out, its settings have changed since it was trained and scored")
            continue
        results = [fitted.result for fitted, _ in made if fitted]
        scores[name] = read_scores(layout.experiment_folder / SCORES)
        cv = validated.result["cv"]
        rows.append(
            {
                "experiment": name,
                "base": tomllib.loads(experiment_path(name).read_text(encoding="utf-8")).get("base", ""),
                "folds": folds,
                "cv": round(cv["score"], 4),
                "low": round(cv["interval"][0], 4),
                "high": round(cv["interval"][1], 4),
                "at_half": round(cv["score_at_half"], 4),
                "tiles": cv["tiles"],
                "of": prepared.result["train"],
                "dataset": dataset,
                "split": split_name(settings.split),
                "epochs": sum(each["epochs"] for each in results),
                "minutes": round(sum(each["seconds"] for each in results) / 60, 1),
                "core_minutes": round(sum(each["cpu_seconds"] for each in results) / 60, 1),
                "parameters": results[0]["parameters"],
                "backend": results[0]["backend"],
                "precision": results[0]["precision"].removeprefix("mixed_"),
                "settings": read[0],
            }
        )
    for row in rows:
        # Only scores of the same tiles are comparable: ``kernel``, for example, has other folds.
        if scores.get(row["base"], {}).keys() == scores[row["experiment"]].keys():
            gain, low, high, _ = difference(scores[row["experiment"]], scores[row["base"]])
            row |= {"gain": round(gain, 4), "gain_low": round(low, 4), "gain_high": round(high, 4)}
    return rows


def joined(kept: list[dict[str, Any]], fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The kept rows and the fresh ones, which replace those of the same experiment.

    A table compares scores of the same tiles; fresh rows of other tiles are left out, with a printed line. Returns an
    empty list where none of the fresh rows is left.
    """
    if not fresh:
        return kept
    wanted, same = _where((kept or fresh)[0]), []
    for row in fresh:
        if _where(row) == wanted:
            same.append(row)
        else:
            print(f"{row['experiment']}: left out, scored on {_where(row)}, not {wanted}")
    names = {row["experiment"] for row in same}
    return [*(row for row in kept if row["experiment"] not in names), *same] if same else []


def _folds(row: dict[str, Any]) -> str:
    return f"fold{'s' if len(row['folds']) > 1 else ''} {', '.join(map(str, row['folds']))}"


def _where(row: dict[str, Any]) -> str:
    return f"{_folds(row)} ({row['split']}) of {row['of']:,} labelled tiles of dataset {row['dataset']}"


def changed(then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether a setting that the score depends on has another value now.

    Args:
        then: sections and their settings, as recorded in the manifests. A setting of training that did not exist then
            counts as its default. A setting of a later stage that did not exist then counts as its present value,
            because the rungs set the post-processing themselves. A removed setting does not count.
        now: all settings of the experiment.
    """
    then, now, plain = with_added(then), with_added(now), with_added(stored(Settings()))
    for section, values in then.items():
        missing = now[section] if section in AFTER_TRAINING else plain[section]
        if any(value != values.get(key, missing[key]) for key, value in now[section].items()):
            return True
    return False


def _ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["experiment"])


def _description(name: str) -> str:
    """What an experiment changes, from the first line of its TOML."""
    first = experiment_path(name).read_text(encoding="utf-8").splitlines()[0]
    return re.sub(r"^(Ladder \d+|Part, on top of ladder \d+)[:,] *", "", first.lstrip("# "))


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = (
        "experiment | what it changes | CV | 95 % interval | against its base | epochs | core-minutes | parameters"
    )
    lines = [f"| {columns} |", "|---|---|---|---|---|---|---|---|"]
    seeds, against = over_seeds(rows), effects(rows)
    for row in rows:
        name = row["experiment"]
        if SEED.search(name):
            continue
        cv = f"{row['cv']:.3f}"
        if len(seeds[name]) > 1:
            scores = [f"{each['cv']:.3f}" for each in seeds[name].values()]
            cv += f" (seeds: {', '.join(scores)})"
        cells = [f"`{name}`", _description(name), cv, f"{row['low']:.3f} to {row['high']:.3f}"]
        cells.append(str(against.get(name, "")))
        lines.append(f"| {' | '.join(cells)} | {row['epochs']} | {row['core_minutes']:.0f} | {row['parameters']:,} |")
    return lines


def _page(rows: list[dict[str, Any]]) -> str:
    machines = sorted({row["machine"] for row in rows})
    lines = [
        "# The ladder",
        "",
        "Written by `python -m benchmarks.ladder` from the manifests of the trainings. " + _about(rows),
        "",
    ]
    lines += [f"- machine: {machine}" for machine in machines]
    figures = ["![CV against the tiles that a network has seen](views.png)", "", "![Score of each rung](ladder.png)"]
    return "\n".join([*lines, "", *figures, "", *_table(rows)]) + "\n"


def _about(rows: list[dict[str, Any]]) -> str:
    noise = deviation(rows)
    judged = (
        " Against its base: the mean difference over the seeds with which both were trained, tile by tile, ± its"
        " standard error over tiles"
    )
    if noise.degrees:
        judged += (
            f" and trainings. The score of a training has a standard deviation of {noise.value:.3f} over seeds, pooled"
            f" over the rungs with several seeds ({noise.degrees} degrees of freedom)"
        )
    return (
        f"Cross-fitted CV on {_where(rows[0])}: {rows[0]['tiles']:,} to score, the others to train on."
        f" A core-minute is a minute of one processor core.{judged}. Bold: more than two standard errors."
    )


def _into_experiment(row: dict[str, Any]) -> None:
    """Replace the figures in the comment at the top of an experiment's file."""
    path = experiment_path(row["experiment"])
    lines = path.read_text(encoding="utf-8").splitlines()
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    measured = ("# Measured", "# Not measured")
    begin = next((number for number, line in enumerate(lines[:head]) if line.startswith(measured)), head)
    path.write_text("\n".join([*lines[:begin], *header(row), *lines[head:]]) + "\n", encoding="utf-8")


def header(row: dict[str, Any]) -> list[str]:
    """A row as comment lines of its experiment's file."""
    return [
        f"# Measured on {_folds(row)}, {row['epochs']} epochs: CV {row['cv']:.4f} (95 % interval {row['low']:.4f} to "
        f"{row['high']:.4f}), {row['at_half']:.4f} at 0.5;",
        f"# {row['core_minutes']:.1f} core-minutes in {row['precision']}, {row['parameters']:,} parameters.",
        f"# On {row['machine']}.",
    ]


if __name__ == "__main__":
    main()

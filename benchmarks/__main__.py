"""Run the benchmarks and write RESULTS.md: ``make bench``, ``make bench-gpu``, ``python -m benchmarks metric``.

Each run replaces what was measured before of the same kind (CPU, GPU, archive); ``results/*.json`` keeps the rows, so
that they may be measured at different times on different machines.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_kind, described, figure_path
from pipeline.system import backends

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

HERE = Path(__file__).parent
SUBJECTS = ("training", "quick_network", "frameworks", "roofline", "predict", "metric", "prepare", "startup", "growth")
OTHER_MACHINES = {"gpu": "gpu", "archive": "archive"}
"""Subject -> kind, of the subjects that may be measured on another machine than the others."""
KINDS = {
    "cpu": ("CPU with bfloat16 units", "make bench"),
    "cpu-float32": ("CPU without bfloat16 units", "make bench"),
    "gpu": ("GPU", "make bench-gpu"),
    "archive": ("Archive", "python -m benchmarks archive --archive tiles.zip"),
}
"""File in ``results`` -> its title on the page, and the command that writes it."""
FIGURES = {
    "roofline": "Operations a second of each layer over its operations per byte",
    "growth": "Time and memory over the size of the survey",
}
"""Subject that draws a figure -> what the figure shows."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    known = f"{', '.join(SUBJECTS)} (default: all of these), gpu, archive"
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=known)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to check that it runs; nothing is written")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing; write RESULTS.md from the recorded results"
    )
    parser.add_argument("--archive", type=Path, help="of the subject archive: a zip or folder of tiles")
    options = parser.parse_args()
    if options.render:
        write({})
        return
    # Not when this module is imported: the processes of a subject that start anew decide for themselves.
    backends.use_onednn()
    unknown = set(options.subjects) - {*SUBJECTS, *OTHER_MACHINES}
    if unknown:
        parser.error(f"there is no subject {', '.join(sorted(unknown))}; there are {known}")
    if ("archive" in options.subjects) != (options.archive is not None):
        parser.error("the subject archive needs --archive, and no other does")
    for subject in options.subjects or SUBJECTS:
        started = time.monotonic()
        module = import_module(f"benchmarks.{subject}")
        measured = module.measure(options.archive) if subject == "archive" else module.measure(options.quick)
        table = {"title": module.TITLE, "rows": [asdict(row) for row in measured]}
        table["settings"] = {name: measured_settings(name) for name in getattr(module, "EXPERIMENTS", ())}
        print(f"\n{module.TITLE} ({time.monotonic() - started:.0f} s)")
        for row in table["rows"]:
            mark = {True: "reached", False: "MISSED", None: ""}[row["reached"]]
            goal = f"(goal: {row['goal']}) {mark}" if row["goal"] else ""
            print(f"  {row['what']}: {row['value']}  {goal}", flush=True)
        if not options.quick:
            write({subject: table})  # at once: a later subject may fail


def measured_settings(experiment: str) -> dict[str, dict]:
    """The settings of an experiment that its pace depends on, section by section."""
    from pipeline.config import load, stored

    found = stored(load(experiment))
    return {section: found[section] for section in ("input", "network", "augment", "train", "predict")}


def write(tables: dict[str, dict], folder: Path = HERE) -> None:
    """Add measured tables to the recorded ones, and render the page."""
    for kind in KINDS:
        mine = {name: table for name, table in tables.items() if OTHER_MACHINES.get(name, cpu_kind()) == kind}
        if not mine:
            continue
        path = folder / "results" / f"{kind}.json"
        path.parent.mkdir(exist_ok=True)
        machine = described()
        if kind == "gpu":
            from pipeline.network.device import gpus

            machine["gpu"] = _gpu_name() or ", ".join(gpus()) or "none"
        kept: dict[str, Any] = {"machine": machine, "tables": {}}
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
        if _is_another(kept["machine"], machine):  # its rows do not belong beside new ones
            kept = {"machine": machine, "tables": {}}
        old = {name: {"measured": kept["machine"]["measured"]} | table for name, table in kept["tables"].items()}
        kept["tables"] = old | {name: table | {"measured": machine["measured"]} for name, table in mine.items()}
        dates = sorted(table["measured"] for table in kept["tables"].values())
        packages = ", ".join(map(" ".join, (_packages(kept["machine"]) | _packages(machine)).items()))
        kept["machine"] = machine | {
            "packages": packages,
            "measured": " to ".join(dict.fromkeys([dates[0], dates[-1]])),
        }
        path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "RESULTS.md").write_text(rendered(folder), encoding="utf-8")


def _is_another(kept: dict[str, str], machine: dict[str, str]) -> bool:
    """Whether processor or GPU is another one, or a package that both have is of another version."""
    then, now = _packages(kept), _packages(machine)
    versions = any(then[name] != now[name] for name in then.keys() & now.keys())
    return versions or any(kept.get(part) != machine.get(part) for part in ("processor", "gpu"))


def _packages(machine: dict[str, str]) -> dict[str, str]:
    """Name -> version of the installed packages."""
    return dict(each.split(" ", 1) for each in machine["packages"].split(", ") if each)


def _gpu_name() -> str:
    import subprocess

    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def rendered(folder: Path = HERE) -> str:
    """RESULTS.md from the rows on disk."""
    lines = ["# Speed", ""]
    lines += ["Written by `make bench`, `make bench-gpu` and `python -m benchmarks archive --archive tiles.zip`."]
    lines += ["Ratios are comparable between machines; absolute times are those of the machine named above them."]
    lines += ["The tables were measured on different days: compare tiles per second within a row only."]
    for kind, (title, command) in KINDS.items():
        lines += ["", f"## {title}", ""]
        path = folder / "results" / f"{kind}.json"
        if not path.is_file():
            lines += [f"Not measured yet; the command is `{command}`."]
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"- {name}: {value}" for name, value in found["machine"].items()]
        for subject in [*SUBJECTS, *OTHER_MACHINES]:
            if subject in found["tables"]:
                lines += _table(subject, found["tables"][subject])
                if subject in FIGURES:
                    lines += ["", f"![{FIGURES[subject]}]({figure_path(subject, kind).name})"]
    return "\n".join(lines) + "\n"


def _table(subject: str, table: dict) -> list[str]:
    lines = ["", f"### {table['title']}", ""]
    if former := _former(table.get("settings", {})):
        names = ", ".join(f"`{name}`" for name in former)
        lines += [f"Rows of {names}: with earlier settings; `python -m benchmarks {subject}` measures today's.", ""]
    lines += ["| what | measured | goal | |", "|---|---|---|---|"]
    for row in table["rows"]:
        mark = {True: "reached", False: "**missed**", None: ""}[row["reached"]]
        note = f" ({row['note']})" if row["note"] else ""
        lines.append(f"| {row['what']}{note} | {row['value']} | {row['goal']} | {mark} |")
    return lines


def _former(settings: dict[str, dict[str, dict]]) -> list[str]:
    """Experiments whose settings have changed since they were measured."""
    from benchmarks.ladder import changed
    from pipeline.config import all_experiment_names

    there = all_experiment_names()
    return [name for name, then in settings.items() if name not in there or changed(then, measured_settings(name))]


if __name__ == "__main__":
    main()

"""The documentation: its links lead somewhere, and the commands, names and figures in it exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline import config
from pipeline.config import reference
from tests.conftest import own_experiments

PROJECT = Path(__file__).parent.parent
OWN_DATA = PROJECT / "docs" / "own-data.md"
PAGES = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", PROJECT / "CONTRIBUTING.md", *PROJECT.glob("docs/*.md")]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
STAGES = re.search(r"^STAGES := (.+)$", MAKEFILE, re.MULTILINE)
assert STAGES is not None
STAGE_NAMES = STAGES.group(1).split()
TARGETS = {*re.findall(r"^([a-z%-]+):", MAKEFILE, re.MULTILINE), *STAGE_NAMES}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^(?:    .*|```[\s\S]*?^```)$", "", text(page), flags=re.MULTILINE)


def code(page: Path) -> list[str]:
    """Inline code and the lines of indented blocks."""
    return [*re.findall(r"`([^`\n]+)`", text(page)), *re.findall(r"^    (\S.*)$", text(page), re.MULTILINE)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_every_link_to_a_file_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pages
def test_every_target_of_make_exists(page: Path):
    for line in code(page):
        for command in re.findall(r"(?:^|&& |[a-z] )make ((?:[a-z./-]+ ?)+)", line):
            for target in command.split():
                known = target in TARGETS or target.startswith(("clean-", ".venv/"))
                assert known, f"{line}: make {target}"


@pages
def test_every_setting_and_experiment_exists(page: Path):
    keys = {each.key for each in reference.settings()}
    sections = "|".join(reference.sections())
    for line in code(page):
        for key in re.findall(rf"\b((?:{sections})\.[a-z_]+)\b(?!\.)(?=[ =`]|$)", line):
            assert key in keys or key.endswith((".csv", ".zip", ".py")), line
        for names in re.findall(r"EXPERIMENT=([\w,-]+)", line):
            for name in names.split(","):
                assert name in (*config.all_experiment_names(), "yours", "name", "a", "b", "c"), line


@pages
def test_documented_blends_can_be_made(page: Path):
    for line in code(page):
        for names in re.findall(r"\bsubmit\b.*EXPERIMENT=([\w-]+,[\w,-]+)", line) if "a,b" not in line else ():
            config.blend({name: config.load(name) for name in names.split(",")})


@pages
def test_every_path_exists(page: Path):
    for line in code(page):
        for path in re.findall(r"(?:^|\s)((?:pipeline|tests|benchmarks|notebooks|docs)/[\w/.-]*\w)", line):
            assert "NAME" in path or (PROJECT / path).exists(), path


def test_every_name_that_is_to_be_changed_for_other_data_is_in_its_file():
    rows = re.findall(r"^\| .+ \| ((?:`\w+`(?:, | and )?)+) in `([\w/.]+)`", text(OWN_DATA), re.MULTILINE)
    assert len(rows) >= 7
    for names, path in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", text(PROJECT / path)), f"{name} in {path}"


def test_every_stage_of_the_code_is_one_to_remove_after_an_edit_of_it():
    table = text(OWN_DATA).partition("## After an edit of the code")[2].partition("\n## ")[0]
    assert {*re.findall(r"`make clean-(\w+)`", table)} == {*STAGE_NAMES}


def test_the_readme_is_short_and_documentation_has_an_index():
    assert len(text(PROJECT / "README.md").splitlines()) <= 150
    index = text(PROJECT / "docs" / "README.md")
    assert [
        page.name for page in PROJECT.glob("docs/*.md") if page.name != "README.md" and f"({page.name})" not in index
    ] == []


def test_the_readme_names_every_experiment_that_a_user_chooses_from():
    listed = re.findall(r"^\| `([\w-]+)`", text(PROJECT / "README.md").partition("## Experiments")[2], re.MULTILINE)
    assert sorted(listed) == [name for name in config.experiment_names() if name not in own_experiments()]


@pytest.mark.parametrize("experiment", ["unet", "ladder-00-kernel"])
def test_the_figures_of_the_readme_are_those_that_were_measured(experiment: str):
    rows = json.loads((PROJECT / "benchmarks" / "results" / "ladder.json").read_text(encoding="utf-8"))["rows"]
    measured = next(row for row in rows if row["experiment"] == experiment)
    (line,) = (
        line for line in text(PROJECT / "README.md").splitlines() if f"`{experiment}`" in line and "core-" in line
    )
    assert f"{measured['cv']:.3f}" in line
    assert f"{measured['core_minutes']:.0f} core-minutes" in line
    assert f"{measured['epochs']} epochs" in line

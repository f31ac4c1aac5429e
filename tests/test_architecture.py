"""The house rules that no linter knows: which way imports run, and what a fast command must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline"

LEVELS = [
    {"config", "geometry", "rle", "metric", "progress", "machine"},
    {"artifacts", "tiles", "folds", "augment", "nn", "figures", "pages", "rules"},
    {
        "augment_pool",
        "pseudo",
        "batches",
        "inference",
        "views",
        "checkpoint",
        "board",
        "sources",
        "blend",
        "validation",
        "submission",
        "uploads",
        "leaderboard",
        "store",
    },
    {"fit"},
    {"work"},
    {"launch"},
    {"cluster"},
    {"stages"},
    {"summary"},
    {"command_line"},
    {"__main__"},
]
TENSORFLOW_ALONE_CAN = {"nn/norm"}  # its fused batch norm, and the optimizer takes it from there
MAY_IMPORT_KERAS = {"nn", "batches", "inference", "views", "checkpoint", "fit"}


def modules() -> dict[str, list[ast.AST]]:
    return {
        path.relative_to(PACKAGE).with_suffix("").as_posix(): list(
            ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
        for path in PACKAGE.rglob("*.py")
    }


def imported(nodes: list[ast.AST]) -> set[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(module: str) -> str:
    return module.split("/")[0]


def test_every_module_has_a_level():
    known = set().union(*LEVELS)
    assert {room(module) for module in modules()} - {"__init__"} == known


def test_imports_run_one_way_only():
    level = {name: index for index, names in enumerate(LEVELS) for name in names}
    for module, nodes in modules().items():
        if module == "__init__":
            continue
        for name in imported(nodes):
            parts = name.split(".")
            if parts[0] == "pipeline" and len(parts) > 1 and parts[1] in level and parts[1] != room(module):
                assert level[parts[1]] <= level[room(module)], f"{module} imports {name}"


def test_stages_never_import_each_other():
    names = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    for module, nodes in modules().items():
        if room(module) == "stages":
            others = names - {module.split("/")[-1]}
            for name in imported(nodes):
                assert not any(name.startswith(f"pipeline.stages.{other}") for other in others), f"{module}: {name}"


def test_only_what_runs_in_a_fold_imports_keras_and_next_to_nothing_imports_tensorflow():
    for module, nodes in modules().items():
        roots = {name.split(".")[0] for name in imported(nodes)}
        assert "tensorflow" not in roots or module in TENSORFLOW_ALONE_CAN, module
        if room(module) not in MAY_IMPORT_KERAS:
            assert "keras" not in roots, module


def loaded(*arguments: str) -> set[str]:
    """Modules in memory after a command."""
    code = (
        "import sys; from pipeline.cli.main import main; status = main(sys.argv[1:]); "
        "print('LOADED', *sys.modules, file=sys.stderr); sys.exit(status)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stderr.split("LOADED", 1)[1].split())


HEAVY = {"keras", "tensorflow", "jax", "torch", "pandas", "cv2", "albumentations", "sklearn", "scipy", "matplotlib"}


def test_a_command_with_nothing_to_do_loads_no_framework(tmp_path: Path):
    assert not loaded("status", "--root", str(tmp_path)) & (HEAVY | {"numpy"})


def test_the_package_itself_loads_nothing():
    ran = subprocess.run(
        [sys.executable, "-c", "import sys, pipeline; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not set(ran.stdout.split()) & (HEAVY | {"numpy"})


def test_a_process_that_augments_tiles_loads_no_framework():
    code = "import sys, pipeline.training.augment_pool; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # albumentations imports torch by itself where that is installed.
    assert not set(ran.stdout.split()) & {"keras", "tensorflow", "jax"}


def test_nothing_read_from_disk_can_run_code():
    forbidden = {"pickle", "marshal", "shelve", "dill", "joblib", "yaml"}
    for module, nodes in modules().items():
        assert not {name.split(".")[0] for name in imported(nodes)} & forbidden, module
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert called not in ("eval", "exec", "os.system", "keras.models.load_model"), f"{module}: {called}"
            assert given.get("shell", "False") == "False", f"{module}: {called} in a shell"
            if called in ("np.load", "numpy.load"):
                assert given.get("allow_pickle") == "False", f"{module}: np.load without allow_pickle=False"


@pytest.mark.parametrize("path", sorted(PACKAGE.parent.glob("requirements*.lock")), ids=lambda path: path.name)
def test_every_dependency_is_locked_to_one_version_by_its_hashes(path: Path):
    entries = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    locked = {}
    for entry in entries:
        found = re.match(r"([A-Za-z0-9._-]+)==[^ ;]+ ", entry)
        assert found, entry
        assert re.search(r" --hash=sha256:[0-9a-f]{64}( |$)", entry), entry
        locked[found[1].lower()] = entry
    wanted = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {re.split("[<>=!~]", each)[0] for each in wanted} <= locked.keys()

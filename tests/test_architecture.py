"""The house rules that no linter knows: which way imports run, and what a fast command must not load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.stages import ROAD
from tests import imports

PACKAGE = Path(__file__).parent.parent / "pipeline"
LAYERS: imports.Layers = [
    {"__main__"},
    {"cli"},
    {"road"},
    {"stages"},
    {"execution"},
    {"training"},
    {"reporting", "submission"},
    {"prediction"},
    {"data"},
    {"network"},
    {"scoring"},
    {"artifacts"},
    {"config"},
    {"system"},
]
"""A module imports only from the lines below its own, and within its own package; see ``tests/imports.py``."""
TENSORFLOW_ALONE_CAN = {"pipeline.network.backend"}
MAY_IMPORT_KERAS = {"network", "prediction", "training"}


def test_imports_run_one_way_only():
    assert imports.violations(PACKAGE, LAYERS) == []


def test_imports_are_absolute():
    assert {
        name: found for name, source in imports.sources(PACKAGE).items() if (found := imports.relative(source))
    } == {}


def test_a_stage_imports_only_stages_before_it():
    graph, names = imports.graph(PACKAGE), [stage.name for stage in ROAD]
    for at, name in enumerate(names):
        later = {f"pipeline.stages.{each}" for each in names[at + 1 :]}
        assert not graph[f"pipeline.stages.{name}"] & later, name


def roots(module: str, source: ast.AST) -> set[str]:
    """The outermost packages that a module imports from."""
    return {name.split(".")[0] for name in imports.imported(source, imports.home(PACKAGE, module))}


def test_only_what_runs_in_a_fold_imports_keras_and_next_to_nothing_imports_tensorflow():
    found = {module: roots(module, source) for module, source in imports.sources(PACKAGE).items()}
    assert {module for module, names in found.items() if "tensorflow" in names} == TENSORFLOW_ALONE_CAN
    assert {module.split(".")[1] for module, names in found.items() if "keras" in names} == MAY_IMPORT_KERAS


# ---- The reader of imports, on trees made up for it -----------------------------------------------------------------

SMALL = {
    "__init__.py": "VERSION = 1",
    "__main__.py": "from small.cli import main\n\nmain()",
    "cli.py": "from small import VERSION\nfrom small.stages import train, split\n\ndef main(): ...",
    "stages/__init__.py": "from small import data",
    "stages/train.py": "import small.data.tiles as tiles\nfrom small.data import tables",
    "stages/split.py": "import os\nfrom smaller import cli",
    "data/__init__.py": "",
    "data/tables.py": "from small.config import Settings, load",
    "data/tiles.py": "from small.data.tables import read",
    "network.py": "from small.config import *",
    "config.py": "",
}
"""A package that keeps its layers."""
SMALL_LAYERS = [{"__main__"}, {"cli"}, {"stages"}, {"data", "network"}, {"config"}]


def broken(folder: Path, files: dict[str, str], layers: imports.Layers = SMALL_LAYERS) -> list[str]:
    """The violations in the small package, with some of its files replaced."""
    for name, text in {**SMALL, **files}.items():
        path = folder / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return imports.violations(folder / "small", layers)


def test_a_tree_that_keeps_its_layers_is_accepted(tmp_path: Path):
    assert broken(tmp_path, {}) == []
    assert imports.graph(tmp_path / "small")["small.cli"] == {"small", "small.stages.train", "small.stages.split"}


@pytest.mark.parametrize(
    "line",
    [
        "import small.cli",
        "import small.cli as c",
        "import os, small.cli",
        "from small import cli",
        "from small import config, cli as c",
        "from small.cli import main",
        "from small.cli import *",
        "def late():\n    from small.cli import main",
        "class Late:\n    def __init__(self):\n        import small.cli",
        "try:\n    import small.cli\nexcept ImportError:\n    pass",
        "if TYPE_CHECKING:\n    from small.cli import main",
        "importlib.import_module('small.cli')",
        "import_module('small.cli')",
        "from ..cli import main",
        "from .. import cli",
        "from .. import config, cli as c",
        "def late():\n    from .. import cli",
    ],
)
def test_an_import_upwards_is_found_however_it_is_written(tmp_path: Path, line: str):
    violation = "small.data.tables imports small.cli, which is on a layer above"
    assert violation in broken(tmp_path, {"data/tables.py": line})


@pytest.mark.parametrize(
    ("files", "violation"),
    [
        (
            {"data/tiles.py": "from small.network import unet"},
            "small.data.tiles imports small.network, which is on the",
        ),
        (
            {"network.py": "from .data import tiles"},
            "small.network imports small.data.tiles, which is on the same layer",
        ),
        ({"data/__init__.py": "from ..network import x"}, "small.data imports small.network, which is on the same"),
        ({"__init__.py": "from small.config import load"}, "small imports small.config, which is on a layer above"),
        (
            {"config.py": "from small.data.table import x"},
            "small.config imports small.data.table.x, which does not exist",
        ),
        ({"config.py": "from .conf import x"}, "small.config imports small.conf.x, which does not exist"),
        ({"config.py": "from small.config import x"}, "small.config imports itself"),
        ({"config.py": "from ..outside import x"}, "'from ..outside import x' in small leaves the package"),
        ({"data/tables.py": "from ... import cli"}, "'from ... import cli' in small.data leaves the package"),
        ({"plots.py": ""}, "plots is on no layer"),
        ({"plots/deep.py": ""}, "plots is on no layer"),
    ],
)
def test_any_other_violation_of_the_layers_is_found(tmp_path: Path, files: dict[str, str], violation: str):
    (found,) = broken(tmp_path, files)
    assert found.startswith(violation)


def test_a_layer_of_nothing_is_found(tmp_path: Path):
    assert broken(tmp_path, {}, [{"reports"}, *SMALL_LAYERS]) == ["reports is on a layer, but there is no such module"]


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"data/tables.py": "from small.data import tiles"}, {"small.data.tables", "small.data.tiles"}),
        ({"data/tables.py": "from . import tiles"}, {"small.data.tables", "small.data.tiles"}),
        ({"data/tables.py": "def late():\n    from .tiles import x"}, {"small.data.tables", "small.data.tiles"}),
        (
            {"data/tables.py": "from .masks import x", "data/masks.py": "import small.data.tiles"},
            {"small.data.tables", "small.data.masks", "small.data.tiles"},
        ),
        # By way of a package's ``__init__``, which takes up a name from the module that takes one from there.
        (
            {"data/__init__.py": "from .tables import x", "data/tables.py": "from small.data import y"},
            {"small.data", "small.data.tables"},
        ),
    ],
)
def test_circles_within_a_package_are_found(tmp_path: Path, files: dict[str, str], circle: set[str]):
    (found,) = broken(tmp_path, files)
    kind, _, modules = found.partition(": ")
    names = modules.split(" imports ")
    assert kind == "circle"
    assert names[0] == names[-1]
    assert {*names} == circle
    graph = imports.graph(tmp_path / "small")
    assert all(target in graph[module] for module, target in pairwise(names))


def test_each_circle_is_named(tmp_path: Path):
    files = {
        "data/tables.py": "from . import tiles",
        "stages/train.py": "from . import split",
        "stages/split.py": "from . import train",
    }
    found = broken(tmp_path, files)
    assert len(found) == 2
    assert all(each.startswith("circle: ") for each in found)


def test_relative_imports_are_listed(tmp_path: Path):
    broken(tmp_path, {"config.py": "from . import x\nfrom .data.tables import y\nimport os"})
    source = imports.sources(tmp_path / "small")["small.config"]
    assert imports.relative(source) == ["from . import x", "from .data.tables import y"]


# ---- What is loaded, and what may not be called ---------------------------------------------------------------------


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
    for module, source in imports.sources(PACKAGE).items():
        assert not roots(module, source) & forbidden, module
        for node in ast.walk(source):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert called.split(".")[-1] not in ("eval", "exec", "load_model", "system", "popen"), f"{module}: {called}"
            assert given.get("shell", "False") == "False", f"{module}: {called} in a shell"
            if called in ("np.load", "numpy.load"):
                assert given.get("allow_pickle") == "False", f"{module}: np.load without allow_pickle=False"


@pytest.mark.parametrize("path", sorted(PACKAGE.parent.glob("requirements/*.lock")), ids=lambda path: path.name)
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

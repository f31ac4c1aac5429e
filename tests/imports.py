"""Which modules of a package import which, read from the source, and what of it its layers do not allow."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Layers = Sequence[Collection[str]]
"""Lines of names directly below the package (modules or packages), from the top line to the bottom line.

A name may import from the lines below its own, and a package from itself; names on one line do not import each other.
The package's own ``__init__`` lies below all of them.
"""


def sources(package: Path) -> dict[str, ast.Module]:
    """The syntax tree of each module of a package, by its dotted name; a package's ``__init__`` has the package's name.

    Args:
        package: the package's folder.
    """
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imported(source: ast.AST, package: str) -> set[str]:
    """Dotted names that a module imports, wherever in it: at the top, in a function, for type checkers alone.

    ``from a.b import c`` is ``a.b.c``, whether ``c`` is a module or something in one. A name that is given to
    ``importlib.import_module`` counts where it is a plain string.

    Args:
        source: of the module.
        package: what its relative imports start from: the package that it is in, or the module itself if it is one.

    Raises:
        ValueError: a relative import leaves the outermost package.
    """
    names: set[str] = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = _start(node, package)
            names |= {f"{start}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.add(first.value)
    return names


def relative(source: ast.AST) -> list[str]:
    """The relative imports of a module, as they are written."""
    return [ast.unparse(node) for node in ast.walk(source) if isinstance(node, ast.ImportFrom) and node.level]


def graph(package: Path) -> dict[str, set[str]]:
    """What each module of a package imports of it.

    Args:
        package: the package's folder.

    Returns:
        Names of modules, by the name of the module that imports them. The name of something in a module counts as that
        module. A module that does not exist is named as it is written.

    Raises:
        ValueError: a relative import leaves the package.
    """
    modules = sources(package)
    found: dict[str, set[str]] = {}
    for module, source in modules.items():
        names = imported(source, home(package, module))
        own = {name.removesuffix(".*") for name in names if name.split(".")[0] == package.name}
        found[module] = {_module(name, modules) for name in own}
    return found


def home(package: Path, module: str) -> str:
    """The package that a module's relative imports start from."""
    is_package = (package.parent / module.replace(".", "/") / "__init__.py").is_file()
    return module if is_package else module.rpartition(".")[0]


def violations(package: Path, layers: Layers) -> list[str]:
    """What the imports within a package do that its layers do not allow, a line for each; empty where all is well.

    Found are modules without a layer and layers without a module, imports upwards or between names on one line, imports
    of modules that do not exist, and circles of modules.

    Args:
        package: the package's folder.
        layers: of the names directly below it.
    """
    try:
        imports = graph(package)
    except ValueError as error:
        return [str(error)]
    line = {each: number for number, names in enumerate(reversed(layers), start=1) for each in names}
    line[""] = 0
    there = {_top(each) for each in imports} | {""}
    found = [f"{each} is on no layer" for each in sorted(there - line.keys())]
    found += [f"{each} is on a layer, but there is no such module" for each in sorted(line.keys() - there)]
    for module, targets in imports.items():
        for target in sorted(targets):
            here, beneath = _top(module), _top(target)
            if target not in imports:
                found.append(f"{module} imports {target}, which does not exist")
            elif target == module:
                found.append(f"{module} imports itself")
            elif here != beneath and here in line and beneath in line:
                if line[beneath] > line[here]:
                    found.append(f"{module} imports {target}, which is on a layer above")
                elif line[beneath] == line[here]:
                    found.append(f"{module} imports {target}, which is on the same layer")
    return found + _circles(imports)


def _start(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    if node.level > len(parts):
        raise ValueError(f"{ast.unparse(node)!r} in {package} leaves the package")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _module(name: str, modules: Collection[str]) -> str:
    """The module that a dotted name means: itself, or the one that it is something of."""
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    # Something in a package's ``__init__``, or a module that is missing: for the source both look the same.
    return parent if parent in modules else name


def _top(module: str) -> str:
    """The name directly below the package that a module lies in; empty for the package's own ``__init__``."""
    return module.split(".")[1] if "." in module else ""


def _circles(imports: Mapping[str, set[str]]) -> list[str]:
    """A circle of modules from each group that has any: it is taken out and the rest is looked through again."""
    left = {module: {each for each in targets if each != module} for module, targets in imports.items()}
    found = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            # Each module of the circle is imported by the next one: the other way round it reads "imports".
            circle = list(reversed(error.args[1]))
            found.append(f"circle: {' imports '.join(circle)}")
            left[circle[0]] = left[circle[0]] - {circle[1]}
        else:
            return found

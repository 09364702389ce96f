"""The rooms of the house: a package imports only from those before it."""

import ast
from pathlib import Path

import pytest

import saq_eval

PACKAGE = Path(saq_eval.__file__).parent
ORDER = (
    *("core", "data", "networks", "quantization", "training", "zoo", "studies", "attribution", "metrics"),
    *("evaluation", "analysis", "reporting", "prepared", "comparison", "panel", "cli"),
)
# What compares and what draws know of everything; the top of the package only names what is where.
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in ORDER]


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """Return the rooms that a file imports from, wherever in it, with the lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            whole = node.module == "saq_eval"
            modules = [f"saq_eval.{alias.name}" for alias in node.names] if whole else [node.module]
        else:
            continue
        found += [(module.split(".")[1], node.lineno) for module in modules if module.startswith("saq_eval.")]
    return found


def test_type_checkers_see_the_public_names():
    imports = [
        node for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text())) if isinstance(node, ast.ImportFrom)
    ]
    exported = {alias.asname: node.module for node in imports for alias in node.names if alias.asname}
    assert exported == {name: f"saq_eval.{home}" for name, home in saq_eval._HOME.items()}


def test_every_room_is_listed():
    assert {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"} == {*ORDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_imports_only_from_those_before_it(path):
    allowed = ORDER[: ORDER.index(room(path)) + 1]
    wrong = [f"{name} in line {line}" for name, line in imported(path) if name not in allowed]
    # The command line may ask for the public names, which are found when they are used.
    assert not wrong, wrong

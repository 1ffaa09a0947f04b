"""Syntax trees without what changes no result, and the modules that they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree without docstrings; comments are in no tree.

    Raises:
        SyntaxError: if the file is not Python code.
    """
    tree = ast.parse(path.read_bytes(), filename=str(path))
    _remove_docstrings(tree)
    return tree


def imported_names(tree: ast.Module, package: str) -> set[str]:
    """Return the dotted names that a module's imports may load, those inside functions too.

    Args:
        tree: of the module.
        package: that relative imports start from.
    """
    names: set[str] = set()
    for statement in _statements(tree):
        if isinstance(statement, ast.Import):
            names.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            origin = _origin(statement, package)
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in statement.names)
    return names


def _origin(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the statements below a node but those that only type checkers see."""
    for name in BLOCKS:
        if name == "body" and isinstance(node, ast.If) and _is_type_checking(node.test):
            continue
        block = getattr(node, name, None)
        for statement in block if isinstance(block, list) else ():
            yield statement
            yield from _statements(statement)


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _remove_docstrings(node: ast.AST) -> None:
    """Remove strings that stand alone as statements: docstrings of anything, attributes too."""
    for name in BLOCKS:
        block = getattr(node, name, None)
        if isinstance(block, list):
            block[:] = [statement for statement in block if not _is_docstring(statement)]
            for statement in block:
                _remove_docstrings(statement)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )

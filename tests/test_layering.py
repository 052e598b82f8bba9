"""A module imports from lower layers, and freely inside its own package (ARCHITECTURE.md)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "copgen_jax"

LAYERS = [
    {"types", "errors", "modalities", "config", "files", "progress", "version"},
    {"units", "parallel", "memory", "diffusion", "nn"},
    {"model", "rasters"},
    {"sampling", "checkpoints", "data"},
    {"generate", "encode", "export"},
    {"training", "evaluation"},
    {"cli"},
]
SAME_LAYER = {
    "config": {"errors", "modalities"},
    "modalities": {"errors"},
    "files": {"errors"},
    "types": set(),
    "errors": set(),
    "progress": set(),
    "version": set(),
    "encode": set(),
    "generate": set(),
}
"""Imports inside a layer that are meant; a layer's other members do not know each other."""

UNKNOWN_TO = {"diffusion": {"nn"}, "nn": {"diffusion"}}
ROLE_CODES = {"ABSENT", "WANTED", "GIVEN"}


def layer_of(part):
    (level,) = (i for i, names in enumerate(LAYERS) if part in names)
    return level


def imports(path):
    """Top-level parts of copgen_jax that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{a.name}" if node.module == "copgen_jax" else node.module for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "copgen_jax" and len(parts) > 1:
                yield parts[1]


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in set(imports(path)) - {own}:
        assert other not in UNKNOWN_TO.get(own, ()), f"{own} must not know {other}"
        below = layer_of(other) < layer_of(own)
        assert below or other in SAME_LAYER.get(own, ()), f"{own} imports {other}, which is not below it"


def test_diffusion_knows_of_modalities_the_role_codes_only():
    for path in (PACKAGE / "diffusion").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "copgen_jax.modalities":
                assert {a.name for a in node.names} <= ROLE_CODES, path


def test_pytorch_is_never_imported():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("torch", "torchvision") for name in names), path

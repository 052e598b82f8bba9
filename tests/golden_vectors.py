"""The golden vectors: read from tests/golden, or from the directory that COPGEN_GOLDEN names."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("COPGEN_GOLDEN") or Path(__file__).parent / "golden").resolve()
_HOME = Path(__file__).parent / "golden"

_spec = importlib.util.spec_from_file_location("recipe", _HOME / "recipe.py")
assert _spec is not None
assert _spec.loader is not None
recipe = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recipe)


def load_json(path: str) -> Any:
    """A JSON file below the root."""
    return json.loads((ROOT / path).read_text())


def cases(topic: str, **match) -> list[dict[str, Any]]:
    """The entries of <topic>/cases.json that have the given values; none where the root lacks the topic."""
    path = ROOT / topic / "cases.json"
    if not path.exists():
        return []
    return [case for case in json.loads(path.read_text()) if all(case.get(k) == v for k, v in match.items())]


def present(*paths: str) -> list[str]:
    """Those of the files that this root has: a test parametrised with them is not collected without."""
    return [path for path in paths if (ROOT / path).exists()]

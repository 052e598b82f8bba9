"""`python -m benchmarks` as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def benchmarks(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_quick_run_writes_every_solver_with_its_surroundings(tmp_path):
    done = benchmarks("solvers", "--quick", "--json", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "solvers.json").read_text())
    assert json.loads(done.stdout) == record
    assert {row["solver"] for row in record["rows"]} == {"published", "dpmpp_2m", "dpmpp_3m", "unipc", "ddim"}
    assert all(0 < row["10"] < 1 for row in record["rows"])
    assert {"jax", "python"} <= set(record["versions"])
    assert record["device"]["platform"]


def test_unknown_name_is_one_sentence():
    done = benchmarks("solver")
    assert done.returncode == 2
    assert done.stderr.strip() == "benchmarks: unknown benchmark 'solver': did you mean solvers?"

"""The program runs in large pages: a compiled program's working memory faults seldom."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from copgen_jax.cli.allocation import LARGE_PAGES

PROGRAM = """
import os, resource, sys
if "large" in sys.argv:
    from copgen_jax.cli.allocation import restart_with_large_pages
    print("started", flush=True)
    restart_with_large_pages()
import jax, jax.numpy as jnp

@jax.jit
def work(x):  # 64 MB between the two products
    return jnp.tanh(x @ x.T) @ x

x = jnp.ones((4096, 8))
faults = []
for _ in range(15):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:], sorted(faults)[7])
"""

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
needs_choice = pytest.mark.skipif(
    not SETTING.exists() or "[madvise]" not in SETTING.read_text(), reason="this kernel leaves programs no choice"
)


def run(folder, *arguments, **variables):
    file = folder / "program.py"
    file.write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name not in LARGE_PAGES}
    command = [sys.executable, str(file), *arguments]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@needs_choice
def test_working_memory_lies_in_large_pages(tmp_path):
    pages = 4096 * 4096 * 4 // 4096
    (usual,) = run(tmp_path, "small")
    *started, restarted = run(tmp_path, "large", "--option")
    assert int(usual.split()[-1]) > pages / 2
    assert started == ["started"] * 2
    tunables, *arguments, faults = restarted.split()
    assert (tunables, arguments) == (LARGE_PAGES["GLIBC_TUNABLES"], ["large", "--option"])
    assert int(faults) < pages / 8


def test_what_the_user_says_goes_before(tmp_path):
    *started, last = run(tmp_path, "large", GLIBC_TUNABLES="glibc.malloc.check=0")
    assert started == ["started"]
    assert last.split()[0] == "glibc.malloc.check=0"


def test_the_program_itself_restarts_and_says_what_it_should(tmp_path):
    command = [sys.executable, "-m", "copgen_jax.cli", "--version"]
    environment = {name: value for name, value in os.environ.items() if name not in LARGE_PAGES}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("copgen_jax ")

"""What is freed is kept: a compiled program's working memory faults once, not at every call."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
if "keep" in sys.argv:
    from copgen_jax.cli.allocation import keep_freed_memory
    print(keep_freed_memory())
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
print(sorted(faults)[7])  # a median: the first calls, and one that finds no piece large enough, make the pages
"""


def run(*arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "XLA_"))}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_of_working_memory_are_touched_once():
    pages = 4096 * 4096 * 4 // 4096
    (usual,) = run()
    kept, faults = run("keep")
    if kept == "False":
        pytest.skip("beside a GPU nothing is changed")
    assert int(usual) > pages / 2
    assert int(faults) < pages / 50


def test_what_the_user_says_goes_before():
    said, _ = run("keep", MALLOC_ARENA_MAX="2")
    assert said == "False"

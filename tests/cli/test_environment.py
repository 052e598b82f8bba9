"""The program starts itself anew in a fast environment: working memory in large pages, shared passes over arrays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from copgen_jax.cli.environment import fast_environment

PROGRAM = """
import os, resource, sys
if "fast" in sys.argv:
    from copgen_jax.cli.environment import restart_fast
    print("started", flush=True)
    restart_fast()
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
passes = jax.jit(lambda a, b: (jnp.sin(a) * b, jnp.cos(a) * b)).lower(x, x).compile().as_text().count(" fusion(")
print(os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:], passes, sorted(faults)[7])
"""

READ = ("GLIBC_TUNABLES", "XLA_FLAGS")
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
needs_choice = pytest.mark.skipif(
    not SETTING.exists() or "[madvise]" not in SETTING.read_text(), reason="this kernel leaves programs no choice"
)


def run(folder, *arguments, **variables):
    file = folder / "program.py"
    file.write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name not in READ}
    command = [sys.executable, str(file), *arguments]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@needs_choice
def test_working_memory_lies_in_large_pages(tmp_path):
    pages = 4096 * 4096 * 4 // 4096
    (usual,) = run(tmp_path, "usual")
    *started, restarted = run(tmp_path, "fast", "--option")
    assert int(usual.split()[-1]) > pages / 2
    assert started == ["started"] * 2
    tunables, *arguments, _, faults = restarted.split()
    assert (tunables, arguments) == ("glibc.malloc.hugetlb=1", ["fast", "--option"])
    assert int(faults) < pages / 8


@pytest.mark.skipif(sys.platform != "linux", reason="programs restart on Linux alone")
def test_operations_on_the_same_arrays_share_a_pass(tmp_path):
    passes = {line.split()[-2] for way in ("usual", "fast") for line in run(tmp_path, way)[-1:]}
    assert passes == {"2", "1"}


def test_what_the_user_says_goes_before(tmp_path):
    said = {"GLIBC_TUNABLES": "glibc.malloc.check=0", "XLA_FLAGS": "--xla_backend_extra_options=xla_other=1"}
    *started, last = run(tmp_path, "fast", **said)
    assert started == ["started"]
    assert last.split()[0] == said["GLIBC_TUNABLES"]


def test_other_flags_stay():
    added = fast_environment({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"})
    assert added["XLA_FLAGS"].startswith("--xla_force_host_platform_device_count=2 --xla_backend_extra_options=")


def test_the_program_itself_restarts_and_says_what_it_should(tmp_path):
    starts = tmp_path / "starts"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(starts)!r}, 'a').write('started ')")
    command = [sys.executable, "-m", "copgen_jax.cli", "--version"]
    environment = {name: value for name, value in os.environ.items() if name not in READ}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("copgen_jax ")
    assert starts.read_text().split() == ["started"] * (2 if sys.platform == "linux" else 1)

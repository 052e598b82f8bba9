"""The compilation cache is the user's own or is not used: what lies in it is executed."""

import os
import subprocess
import sys

import pytest

CODE = "import jax; from copgen_jax.cli.compilation import keep_compilations; keep_compilations(); "
SHOW = CODE + "print(jax.config.jax_compilation_cache_dir)"


def run(code, cache):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_is_private_and_filled(tmp_path):
    jit = (
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0); jax.jit(lambda x: x @ x)(jax.numpy.eye(8))"
    )
    run(CODE + jit, tmp_path)
    place = tmp_path / "copgen_jax" / "compilations"
    assert place.stat().st_mode & 0o077 == 0
    assert any(place.iterdir())
    assert run(SHOW, tmp_path) == str(place)


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_that_others_can_write_is_not_used(tmp_path, mode):
    place = tmp_path / "copgen_jax" / "compilations"
    place.mkdir(parents=True)
    place.chmod(mode)
    assert run(SHOW, tmp_path) == "None"

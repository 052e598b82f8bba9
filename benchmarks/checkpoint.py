"""Saving and restoring: a training state through a run's checkpoints, and a model directory as users load it."""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import Result
from copgen_jax.config import PRESETS, preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), nargs="+", help="default: demo")


def run(quick: bool, size: list[str] | None = None) -> Result:
    """Every size."""
    rows = [row for name in size or (["tiny"] if quick else ["demo"]) for row in _rows(name)]
    return Result(
        title="Saving and restoring",
        rows=rows,
        notes=[
            "A training state is parameters, average and two moments in float32. 'save, training waits' is until the "
            "arrays are copied and training goes on; 'save' until everything is on disk and hashed. Restoring and "
            "loading check the hashes first. Files are in the page cache."
        ],
    )


def _rows(size: str) -> list[dict[str, Any]]:
    import jax

    from benchmarks.ours import backbone_params
    from copgen_jax.checkpoints import save_model
    from copgen_jax.checkpoints.model_directory import load_model
    from copgen_jax.parallel import make_mesh, replicated
    from copgen_jax.training.checkpointing import Checkpoints, abstract_state
    from copgen_jax.training.config import OptimiserConfig
    from copgen_jax.training.optimiser import make_optimiser, start_state
    from copgen_jax.training.run import RunConfig, RunDirectory, versions

    config = preset(size)
    params = backbone_params(config)
    state = start_state(params, make_optimiser(OptimiserConfig()))
    shardings = jax.tree.map(lambda _: replicated(make_mesh(jax.devices()[:1])), state)
    rows = []
    with tempfile.TemporaryDirectory(prefix="copgen-checkpoint-") as folder:
        settled = RunConfig(
            network="backbone", run_id="benchmark", model=config, training={}, data={}, versions=versions()
        )
        run = RunDirectory(path=Path(folder), config=settled)
        bytes_of_state = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        begun = time.perf_counter()
        with Checkpoints(run, keep_last=1, keep_every=1000) as checkpoints:
            checkpoints.save(1, state)
            rows.append(_row(size, "save, training waits", time.perf_counter() - begun, bytes_of_state))
        rows.append(_row(size, "save", time.perf_counter() - begun, bytes_of_state))
        with Checkpoints(run, keep_last=1, keep_every=1000) as checkpoints:
            like = abstract_state(state, shardings)
            seconds = _seconds(lambda: jax.block_until_ready(checkpoints.restore(like)))
            rows.append(_row(size, "restore", seconds, bytes_of_state))
        del state
        alone = dataclasses.replace(config, autoencoders={})
        model = Path(folder) / "model"
        bytes_of_model = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        seconds = _seconds(lambda: save_model(model, alone, {"backbone": params}))
        rows.append(_row(size, "save model directory", seconds, bytes_of_model))
        seconds = _seconds(lambda: jax.block_until_ready(load_model(model)[1]))
        rows.append(_row(size, "load model directory", seconds, bytes_of_model))
    return rows


def _row(size: str, what: str, seconds: float, count: int) -> dict[str, Any]:
    return {"size": size, "what": what, "MB": round(count / 1e6, 1), "s": seconds, "MB/s": count / 1e6 / seconds}


def _seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun

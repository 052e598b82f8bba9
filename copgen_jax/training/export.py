"""From training runs to a model directory: the averaged parameters of a run's newest checkpoint, with autoencoders."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints import Hashes, load_config, load_hashes, save_model
from copgen_jax.checkpoints.model_directory import load_network
from copgen_jax.checkpoints.shapes import backbone_shapes, unflatten
from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError
from copgen_jax.model import build_backbone
from copgen_jax.progress import Track, silently
from copgen_jax.training.checkpointing import newest_step, restore_part
from copgen_jax.training.run import RunDirectory, load_run


def export_model(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    autoencoders: str | Path | None = None,
    overwrite: bool = False,
    track: Track = silently,
) -> Hashes:
    """Join a backbone run and a model's autoencoders into a model directory.

    Args:
        runs: run directories.
        out: model directory to write.
        autoencoders: model directory whose autoencoders made the latents that the backbone was trained on.
        overwrite: replace what is at `out`.
        track: told about networks written.

    Raises:
        InputError: no run, no checkpoint, several runs of one network, or other autoencoders than those of the latents.
    """
    opened = [load_run(path) for path in runs]
    backbones = [run for run in opened if run.config.network == "backbone"]
    if len(backbones) != 1 or len(opened) != 1:
        raise InputError(f"a model has one backbone; got {len(backbones)} backbone runs among {len(opened)} runs")
    (run,) = backbones
    config, step = run.config.model, newest_step(run)
    params: dict[str, Any] = {"backbone": lambda: averaged_backbone(run, step), "autoencoders": {}}
    if autoencoders is not None:
        theirs, there = load_config(autoencoders), load_hashes(autoencoders).latent_space
        if there != run.config.data["latent_space"]:
            raise InputError(
                f"{run.path} was trained on latents of other autoencoders (latent space "
                f"{run.config.data['latent_space'][:12]}) than those of {autoencoders} ({str(there)[:12]})"
            )
        kept = {name: c for name, c in theirs.autoencoders.items() if name in config.modalities}
        config = dataclasses.replace(config, autoencoders=kept, solver=theirs.solver)
        params["autoencoders"] = {name: _reader(autoencoders, theirs, name) for name in kept}
    provenance = {**config.provenance, "run": run.config.run_id, "step": step, "parameters": "average (EMA)"}
    config = dataclasses.replace(config, provenance=provenance)
    return save_model(out, config, params, overwrite=overwrite, track=track)


def averaged_backbone(run: RunDirectory, step: int) -> Any:
    """The average of the parameters in a run's checkpoint, in host memory.

    Raises:
        InputError: it is damaged.
    """
    shapes = backbone_shapes(build_backbone(run.config.model))
    whole = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = unflatten({path: jax.ShapeDtypeStruct(s, np.float32, sharding=whole) for path, s in shapes.items()})
    averaged = restore_part(run, step, {"ema_params": like})
    return jax.tree.map(np.asarray, averaged["ema_params"])


def _reader(path: str | Path, config: ModelConfig, name: str) -> Callable[[], Any]:
    return lambda: unflatten(load_network(path, config, name))

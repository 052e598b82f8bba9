"""From training runs to a model directory: the averaged parameters of a run's newest checkpoint, with autoencoders."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints import Hashes, load_config, load_hashes, save_model
from copgen_jax.checkpoints.model_directory import load_network, model_hashes
from copgen_jax.checkpoints.shapes import backbone_shapes, unflatten
from copgen_jax.config import ModelConfig, SolverConfig
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.diffusion.solvers import solver_table
from copgen_jax.errors import InputError
from copgen_jax.model import build_backbone
from copgen_jax.progress import Track, silently
from copgen_jax.training.autoencoder_export import join_autoencoders
from copgen_jax.training.autoencoder_start import NETWORK
from copgen_jax.training.checkpointing import newest_step, restore_part
from copgen_jax.training.initialise import LATENTS
from copgen_jax.training.run import RunDirectory, load_run


def export_model(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    autoencoders: str | Path | None = None,
    precision: str = "float32",
    solver: SolverConfig | None = None,
    overwrite: bool = False,
    track: Track = silently,
) -> Hashes:
    """Join a backbone run with autoencoders, from runs or a model, into a model directory; or autoencoders alone.

    Args:
        runs: run directories.
        out: model directory to write.
        autoencoders: model directory whose autoencoders made the latents that the backbone was trained on.
        precision: "float32", or "float16" for a directory of half the size. Rounding makes another model: latents
            have to be made with the rounded autoencoders.
        solver: how the model is sampled unless asked otherwise; by default as `autoencoders`, else as published.
        overwrite: replace what is at `out`.
        track: told about networks written.

    Raises:
        InputError: no run, no checkpoint, several runs of one network, other autoencoders than those of the latents, no
            such solver, or a parameter too large for float16.
    """
    opened = [load_run(path) for path in runs]
    backbones = [run for run in opened if run.config.network == "backbone"]
    vaes = [run for run in opened if run.config.network == NETWORK]
    if len(backbones) > 1:
        raise InputError(f"a model has one backbone; got {len(backbones)} backbone runs among {len(opened)} runs")
    if vaes and autoencoders is not None:
        raise InputError(f"autoencoders come from runs or from {autoencoders}; give one of them")
    if not backbones and not vaes:
        raise InputError("nothing to export: give at least one run")
    found = _of_runs(vaes) if vaes else _of_model(autoencoders) if autoencoders is not None else None
    if backbones:
        config, params = _with_backbone(backbones[0], found, precision)
    else:
        assert found is not None
        config, params = found.config, {"autoencoders": dict(found.params)}
    if solver is not None:
        solver_table(solver.name, NoiseSchedule(config.schedule), solver.evaluations)  # refuses what cannot be sampled
        config = dataclasses.replace(config, solver=solver)
    return save_model(out, config, _rounded(params, precision), overwrite=overwrite, track=track)


def _with_backbone(run: RunDirectory, found: "_Autoencoders | None", precision: str) -> tuple[ModelConfig, dict]:
    """(configuration, functions that read the networks) of a backbone run, joined with the autoencoders it knows."""
    config, step = run.config.model, newest_step(run)
    params: dict[str, Any] = {"backbone": lambda: averaged_backbone(run, step), "autoencoders": {}}
    if found is not None:
        there = found.latent_space(precision)
        if there != run.config.data["latent_space"]:
            raise InputError(
                f"{run.path} was trained on latents of other autoencoders (latent space "
                f"{run.config.data['latent_space'][:12]}) than those of {found.where} in {precision} "
                f"({str(there)[:12]})"
            )
        theirs = found.config
        kept = {name: c for name, c in theirs.autoencoders.items() if name in config.modalities}
        config = dataclasses.replace(config, autoencoders=kept, solver=theirs.solver)
        params["autoencoders"] = {name: found.params[name] for name in kept}
    provenance = {**config.provenance, "run": run.config.run_id, "step": step, "parameters": "average (EMA)"}
    if LATENTS in run.config.data:
        provenance[LATENTS] = run.config.data[LATENTS]
    return dataclasses.replace(config, provenance=provenance), params


def _rounded(networks: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Functions that read a network, in any nesting, with what they read in another type."""

    def reader(path: tuple[Any, ...], read: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: jax.tree.map(lambda leaf: _in(np.dtype(precision), leaf, path[-1].key), read())

    return jax.tree_util.tree_map_with_path(reader, networks)


def _in(dtype: np.dtype, leaf: np.ndarray, network: str) -> np.ndarray:
    if np.abs(leaf).max(initial=0) > np.finfo(dtype).max:
        raise InputError(f"{network} has parameters above {np.finfo(dtype).max:g}, too large for {dtype}: use float32")
    return leaf.astype(dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Autoencoders:
    """Those that made the latents."""

    where: str
    config: ModelConfig
    params: Mapping[str, Callable[[], Any]]
    latent_space: Callable[[str], str | None]
    """Of them as they will be written in a precision: rounding makes another one."""


def _of_model(path: str | Path) -> _Autoencoders:
    config = load_config(path)
    params = {name: _reader(path, config, name) for name in config.autoencoders}

    def latent_space(precision: str) -> str | None:
        # Unrounded they need not be read to be told.
        return load_hashes(path).latent_space if precision == "float32" else _latent_space(config, params, precision)

    return _Autoencoders(where=str(path), config=config, params=params, latent_space=latent_space)


def _of_runs(runs: Sequence[RunDirectory]) -> _Autoencoders:
    config, params = join_autoencoders(runs)
    where = ", ".join(str(run.path) for run in runs)
    latent_space = functools.partial(_latent_space, config, params)
    return _Autoencoders(where=where, config=config, params=params, latent_space=latent_space)


def _latent_space(config: ModelConfig, params: Mapping[str, Callable[[], Any]], precision: str) -> str | None:
    rounded = _rounded({"autoencoders": dict(params)}, precision)["autoencoders"]
    return model_hashes(config, {"autoencoders": {name: read() for name, read in rounded.items()}}).latent_space


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

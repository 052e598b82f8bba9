"""The parameters an autoencoder's run starts from, and those that it came to.

A run may start from the autoencoder of another modality: everything is taken but the encoder's first and the decoder's
last convolution, which belong to the bands. From the same modality these are taken too.

A run that starts from nothing draws its parameters as published, or (`averaging_start`) so that it reconstructs block
means from the first step on, which saves a short run most of its steps.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.checkpoints import load_config
from copgen_jax.checkpoints.model_directory import load_network
from copgen_jax.checkpoints.shapes import autoencoder_shapes, flatten, unflatten
from copgen_jax.config import ModelConfig
from copgen_jax.errors import InputError, suggestion
from copgen_jax.model import build_autoencoder
from copgen_jax.training.checkpointing import newest_step, restore_part
from copgen_jax.training.run import RunDirectory, is_run, load_run
from copgen_jax.types import Params

NETWORK = "vae"
"""What such a run's `config.json` calls the network."""
MEASURED = "autoencoder.json"
"""In a run directory: the last measurement of latents and reconstructions, with the scale factor."""
OF_THE_BANDS = (("encoder", "conv_in"), ("decoder", "conv_out"))

DRAWN_SHARE = 0.1
"""What is kept of the published draw in layers that `averaging_start` sets: enough to break ties."""
FIRST_LOG_VARIANCE = -6.0
"""Of the posteriors before the first step of `averaging_start`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedAutoencoder:
    """What a run came to."""

    name: str
    """The modality."""
    config: ModelConfig
    """Of the run, with the measured scale factor of the modality."""
    step: int
    """Of the newest checkpoint: `averaged_autoencoder` reads its parameters."""


def load_trained_autoencoder(run: RunDirectory) -> TrainedAutoencoder:
    """A run's newest checkpoint, with the scale factor that was measured last.

    Raises:
        InputError: another network's run, no finished checkpoint, no measurement yet.
    """
    name, step = _only_name(run), newest_step(run)
    try:
        factor = float(json.loads((run.path / MEASURED).read_text())["scale_factor"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{run.path} has no measured scale factor ({MEASURED}): let it end, or continue it with --resume and "
            f"--config.habits.steps={step}"
        ) from error
    modalities = run.config.model.modalities.replace(name, scale_factor=factor)
    return TrainedAutoencoder(
        name=name,
        config=dataclasses.replace(run.config.model, modalities=modalities),
        step=step,
    )


def averaged_autoencoder(run: RunDirectory, step: int) -> Params:
    """The average of the parameters in a run's checkpoint, in host memory.

    Raises:
        InputError: another network's run, or a damaged checkpoint.
    """
    shapes = autoencoder_shapes(build_autoencoder(run.config.model, _only_name(run)))
    whole = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = unflatten({path: jax.ShapeDtypeStruct(s, np.float32, sharding=whole) for path, s in shapes.items()})
    return jax.tree.map(np.asarray, restore_part(run, step, {"ema_params": like})["ema_params"])


def warm_params(init: str | Path, ours: ModelConfig, name: str, fresh: Params, *, init_from: str | None = None) -> Any:
    """Parameters for the autoencoder of `name`, taken from a model directory or a run.

    Args:
        init: model directory, or run of an autoencoder.
        ours: configuration of the new run's model.
        name: the new run's modality.
        fresh: newly drawn parameters; what belongs to the bands of another modality is taken from them.
        init_from: whose autoencoder to take; by default that of the same modality, or the only one.

    Raises:
        InputError: no such model, run or autoencoder, or one of another size.
    """
    theirs, source, loaded = _loaded(Path(init), name, init_from)
    for what, there, here in (
        ("size", theirs.autoencoders[source], ours.autoencoders[name]),
        ("latent channels", theirs.modalities[source].latent_channels, ours.modalities[name].latent_channels),
    ):
        if there != here:
            raise InputError(
                f"the autoencoder of {source} in {init} has {what} {there}, the new one {here}: make them equal"
            )
    return join_params(loaded, fresh, same_bands=source == name)


def join_params(loaded: Params, fresh: Params, *, same_bands: bool) -> Params:
    """`loaded`, with the first and last convolution of `fresh` unless the bands are the same."""
    taken, drawn = flatten(loaded), flatten(fresh)
    kept = {path: drawn[path] if path[:2] in OF_THE_BANDS and not same_bands else taken[path] for path in drawn}
    return unflatten({path: np.asarray(array, np.float32) for path, array in kept.items()})


def averaging_start(drawn: Params, key: jax.Array) -> Params:
    """Initial values of an autoencoder that shrinks by 2 x 2 means and enlarges by repeating.

    As drawn by PyTorch's rules, random residual branches drown what the straight path carries, and hundreds of steps go
    by before a latent says how bright its block is. Here the branches (`conv2`, `proj_out`) begin at zero, convolutions
    of the straight path look at one pixel (those that shrink at 2 x 2) through orthogonal matrices that keep the
    variance, and posteriors are narrow. A tenth of the draw stays on top of that path.

    Args:
        drawn: parameters as published (`Autoencoder.init`).
        key: for the orthogonal matrices.
    """
    flat = flatten(drawn)
    chosen = {path: _averaging(path, drawn, jax.random.fold_in(key, i)) for i, (path, drawn) in enumerate(flat.items())}
    return unflatten(chosen)


def _averaging(path: tuple[str, ...], drawn: Any, key: jax.Array) -> Any:
    layer, kind = path[-2:]
    if layer in ("conv2", "proj_out"):
        return jnp.zeros_like(drawn)
    if (layer, kind) == ("quant_conv", "bias"):
        return drawn.at[drawn.size // 2 :].set(FIRST_LOG_VARIANCE)
    if kind != "kernel" or layer == "conv1" or layer in "qkv":
        return drawn
    into, out = drawn.shape[-2:]
    mixing = jnp.eye(into) if into == out else _orthogonal(key, into, out)
    if drawn.ndim == 2:
        return DRAWN_SHARE * drawn + mixing
    seen = slice(0, 2) if layer.endswith("downsample") else slice(1, 2)
    pixels = (seen.stop - seen.start) ** 2
    return (DRAWN_SHARE * drawn).at[seen, seen].add(mixing / pixels)


def _orthogonal(key: jax.Array, into: int, out: int) -> jax.Array:
    """(into, out): orthonormal columns, or rows scaled so that outputs keep the variance of inputs."""
    return jax.nn.initializers.orthogonal(scale=max(1.0, out / into) ** 0.5)(key, (into, out), jnp.float32)


def _loaded(init: Path, name: str, init_from: str | None) -> tuple[ModelConfig, str, Params]:
    """(configuration, modality, parameters) of the autoencoder to start from."""
    if is_run(init):
        run = load_run(init)
        source = _only_name(run)
        if init_from not in (None, source):
            raise InputError(f"{init} is a run of the autoencoder of {source}, not of {init_from}")
        return run.config.model, source, averaged_autoencoder(run, newest_step(run))
    config = load_config(init)
    there = tuple(config.autoencoders)
    if not there:
        raise InputError(f"{init} has no autoencoders to start from")
    if init_from is not None and init_from not in there:
        raise InputError(f"{init} has no autoencoder of {init_from}: {suggestion(init_from, there)}")
    source = init_from or (name if name in there else there[0])
    if init_from is None and source != name and len(there) > 1:
        raise InputError(
            f"{init} has no autoencoder of {name}; say which to start from: --init-from {' or '.join(there)}"
        )
    return config, source, unflatten(load_network(init, config, source))


def _only_name(run: RunDirectory) -> str:
    if run.config.network != NETWORK:
        raise InputError(f"{run.path} is a run of a {run.config.network}, not of an autoencoder")
    (name,) = run.config.model.autoencoders
    return name

"""Sheets of samples while a backbone is trained: what its averaged parameters make of held-out conditions.

For each of some held-out patches the place, the date and the first image modality are given, and everything else is
drawn; beside them stand samples of which nothing is given. Seeds are the same every time, so that sheets can be laid
side by side. The autoencoders of a model directory turn latents into images; they are read one after the other.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from copgen_jax.checkpoints import load_config, load_hashes
from copgen_jax.checkpoints.model_directory import load_network
from copgen_jax.checkpoints.shapes import unflatten
from copgen_jax.config import ModelConfig
from copgen_jax.data.latents import LatentStore, require_latent_space
from copgen_jax.data.pipeline import Batches
from copgen_jax.errors import InputError
from copgen_jax.modalities import WANTED, Modality, ModalitySet
from copgen_jax.model import build_autoencoder
from copgen_jax.nn.attention import Implementation
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.parallel import replicated
from copgen_jax.sampling import draw_latents, make_sampler, sample_keys
from copgen_jax.training.loop import Look
from copgen_jax.training.run import RunDirectory
from copgen_jax.training.sheets import pictures, sample_sheet, write_sheet

SPLIT = "test"
"""Of the latent store: patches that no batch holds."""
PLACES, MEMBERS, FREE = 3, 2, 3
"""Held-out patches, samples for each, and samples of which nothing is given."""

Arrays = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """What sheets are made of."""

    autoencoders: str | Path
    """Model directory that made the latents."""
    latents: Mapping[str, np.ndarray]
    """Scaled modes of `PLACES` held-out patches, {name: (PLACES, ...)}."""


def open_held_out(store: LatentStore, modalities: ModalitySet, autoencoders: str | Path) -> HeldOut:
    """Read the patches of the sheets, which have every modality.

    Raises:
        InputError: other autoencoders than those of the latents, a store without held-out patches.
    """
    space = load_hashes(autoencoders).latent_space
    if space is None:
        raise InputError(f"{autoencoders} has no autoencoders to decode samples with")
    require_latent_space(store, space, model=autoencoders)
    if SPLIT not in store.layouts:
        raise InputError(f"{store.path} has no split {SPLIT} to draw samples for: leave --autoencoders out")
    batches = Batches(store, SPLIT, batch_size=PLACES, seed=0, modalities=modalities, complete_only=True)
    batch = batches[0]
    latents = draw_latents(modalities, batch["moments"], None) | batch["vectors"]
    return HeldOut(autoencoders=autoencoders, latents={m.name: np.asarray(latents[m.name]) for m in modalities})


def given_modalities(modalities: ModalitySet) -> list[str]:
    """What is given on a sheet: the vectors and the first image; of a single image the vectors alone."""
    images = [m.name for m in modalities.images]
    return [*(m.name for m in modalities.vectors), *images[: len(images) > 1]]


def sheets_of_samples(
    held_out: HeldOut,
    model: ModelConfig,
    run: RunDirectory,
    mesh: Mesh,
    *,
    every: int,
    dtype: str,
    attention: Implementation,
    say: Callable[[str], None],
) -> Look:
    """A sheet every so many steps, in the run's `sheets/`."""
    modalities = model.modalities
    given = given_modalities(modalities)
    wanted = [m.name for m in modalities if m.name not in given]
    some = modalities.roles(given, wanted)
    roles = np.stack([some] * (PLACES * MEMBERS) + [np.full_like(some, WANTED)] * FREE)
    places = [f"held out {i}" for i in range(PLACES) for _ in range(MEMBERS)] + ["nowhere"] * FREE
    keys = sample_keys(0, places, [*range(MEMBERS)] * PLACES + [*range(FREE)])
    latents = {name: _repeated(array) for name, array in held_out.latents.items()}
    whole = replicated(mesh)

    def drawn(params: Any, latents: Arrays, roles: Any, keys: Any) -> Arrays:
        sample = make_sampler(model, dtype=dtype, attention=attention)
        return sample(params, latents, roles, jax.random.wrap_key_data(keys, impl="threefry2x32"))

    sampler = jax.jit(drawn, out_shardings=whole)
    key_data = np.asarray(jax.random.key_data(keys))

    def see(step: int, state: Any) -> None:
        say(f"step {step:,}: drawing {len(places)} samples")
        found = sampler(state.ema_params, latents, roles, key_data)
        if run.is_writer:
            on_host = {name: np.asarray(array) for name, array in found.items()}
            _write(run, step, held_out, model, on_host, given)

    return Look(every=every, see=see)


def _write(
    run: RunDirectory, step: int, held_out: HeldOut, model: ModelConfig, found: Arrays, given: list[str]
) -> None:
    rows = {}
    for modality in model.modalities.images:
        together = np.concatenate([held_out.latents[modality.name], found[modality.name]])
        images = decoded(held_out.autoencoders, modality, together)
        colours = pictures(modality, images, s2_offset=model.s2_offset)
        truth, drawn = colours[:PLACES], colours[PLACES:]
        by_place = [[truth[i], *drawn[i * MEMBERS : (i + 1) * MEMBERS]] for i in range(PLACES)]
        rows[modality] = [*(panel for place in by_place for panel in place), *drawn[PLACES * MEMBERS :]]
    captions = [f"patch {i}: {what}" for i in range(PLACES) for what in ("truth", *["sample"] * MEMBERS)]
    heading = f"samples after {step:,} steps, averaged parameters"
    notes = [f"Samples of held-out patches are given {', '.join(given) or 'nothing'}; those on the right nothing."]
    page = sample_sheet(rows, [*captions, *["nothing given"] * FREE], heading=heading, notes=notes)
    write_sheet(run.sheet(step), page, what=heading)


def decoded(autoencoders: str | Path, modality: Modality, latents: np.ndarray) -> np.ndarray:
    """Network images (n, H, W, C) of scaled latents (n, h, w, c), by the autoencoder of a model directory."""
    config = load_config(autoencoders)
    params = unflatten(load_network(autoencoders, config, modality.name))
    placed = jax.device_put((params, latents / np.float32(modality.scale_factor)), jax.local_devices()[0])
    return np.asarray(_decode(build_autoencoder(config, modality.name), *placed))


@functools.partial(jax.jit, static_argnums=0)
def _decode(autoencoder: Autoencoder, params: Any, latents: Any) -> Any:
    return autoencoder.apply({"params": params}, latents, method="decode")


def _repeated(latents: np.ndarray) -> np.ndarray:
    """Of every sample on a sheet; zeros where nothing is given."""
    free = np.zeros((FREE, *latents.shape[1:]), latents.dtype)
    return np.concatenate([np.repeat(latents, MEMBERS, axis=0), free])

"""Training one modality's autoencoder: what will be trained on what; `copgen_jax.training.train` does it.

`plan_autoencoder` refuses what cannot work, before anything is computed.

Every now and then, and at the end, the averaged parameters are measured: the latents' scale factor on training patches,
the reconstruction of held-out ones. The last measurement is in `autoencoder.json` of the run directory, every one in
its `events.jsonl`.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from copgen_jax.checkpoints import read_torch
from copgen_jax.config import ModelConfig
from copgen_jax.data.majortom import Split
from copgen_jax.encode.sources import is_synthetic
from copgen_jax.errors import InputError
from copgen_jax.files import file_aside
from copgen_jax.modalities import Modality
from copgen_jax.model import build_autoencoder
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.discriminator import Discriminator
from copgen_jax.nn.perceptual import VGG16, LpipsParams, lpips_params
from copgen_jax.parallel import batch_sharding, make_mesh, replicated
from copgen_jax.training.autoencoder_config import AutoencoderTraining
from copgen_jax.training.autoencoder_data import ImageBatches, is_world, open_images
from copgen_jax.training.autoencoder_measure import measure_latents, measure_reconstructions, padded
from copgen_jax.training.autoencoder_start import MEASURED, NETWORK, warm_params
from copgen_jax.training.autoencoder_step import (
    AutoencoderReport,
    AutoencoderState,
    make_autoencoder_step,
    start_autoencoder,
    state_of,
)
from copgen_jax.training.loop import Look, Reports, Speed
from copgen_jax.training.metrics import Row
from copgen_jax.training.run import RunDirectory
from copgen_jax.training.sheets import reconstruction_sheet, write_sheet
from copgen_jax.training.train import Step, compile_step
from copgen_jax.types import Params


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AutoencoderPlan:
    """A run before its first step (`copgen_jax.training.train.TrainingPlan`)."""

    training: AutoencoderTraining
    model: ModelConfig
    autoencoder: Autoencoder
    discriminator: Discriminator | None
    lpips: LpipsParams | None
    batches: ImageBatches
    data: Mapping[str, Any]
    mesh: Mesh
    init: str | None
    init_from: str | None
    network = NETWORK

    @property
    def speed(self) -> Speed:
        """Samples of a step."""
        return Speed(samples_per_step=self.training.batch_size)

    @property
    def modality(self) -> Modality:
        """Whose autoencoder this is."""
        return self.model.modalities[self.training.modality]

    def lines(self) -> list[str]:
        """The plan for people."""
        t, modality = self.training, self.modality
        into, latent = (" x ".join(map(str, shape)) for shape in (modality.image_shape, modality.latent_shape))
        shapes = self.state_shapes()
        count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes.params))
        start = t.loss.discriminator_start
        judged = "without a discriminator" if self.discriminator is None else f"discriminator from step {start:,}"
        perceptual = "with LPIPS" if self.lpips is not None else "LPIPS left out: no weights of it were given (--lpips)"
        return [
            f"autoencoder of {modality.name}: {into} to {latent}, {count:,} parameters",
            f"{self.data['data']}; {t.habits.steps:,} steps of {t.batch_size} patches on {jax.device_count()} x "
            f"{jax.devices()[0].device_kind}, compute in {t.dtype}",
            f"loss: L1 + L2, KL, {judged}; {perceptual}",
        ]

    def fresh_state(self) -> AutoencoderState:
        """The state before the first update, to be traced."""
        key = jax.random.key(self.training.seed, impl="threefry2x32")
        return start_autoencoder(
            self.autoencoder,
            self.discriminator,
            self.training.optimiser,
            key,
            self.modality.image_shape,
            start=self.training.start,
        )

    def state_shapes(self) -> AutoencoderState:
        """The training state as shapes."""
        return jax.eval_shape(self.fresh_state)

    def initial_state(self, shardings: Any) -> AutoencoderState:
        """The state before the first update, on the devices."""
        fresh = jax.jit(self.fresh_state, out_shardings=shardings)()
        if self.init is None:
            return fresh
        own = jax.jit(lambda params: params, out_shardings=replicated(self.mesh))(fresh.params)
        drawn = jax.tree.map(np.asarray, own)
        warm = warm_params(self.init, self.model, self.training.modality, drawn, init_from=self.init_from)
        start = jax.jit(functools.partial(state_of, config=self.training.optimiser), out_shardings=shardings)
        return start(jax.device_put(warm, shardings.params), fresh.discriminator, fresh.statistics)

    def compiled_step(self, shapes: Any, shardings: Any) -> tuple[Step, str]:
        """The step as a program, and what the compiler says that it takes."""
        step = make_autoencoder_step(
            self.autoencoder,
            self.discriminator,
            loss=self.training.loss,
            optimiser=self.training.optimiser,
            seed=self.training.seed,
        )
        return compile_step(step, self, shapes, shardings, self.lpips)

    def row_of(self, reports: Reports) -> Row:
        """Figures of some steps."""
        return row_of(reports)

    def look(self, run: RunDirectory, say: Callable[[str], None]) -> Look:
        """Measurements of the averaged parameters."""
        measure = Measure(self, run)

        def see(step: int, state: AutoencoderState) -> None:
            say(f"step {step:,}: measuring {self.training.habits.measured_patches} patches")
            measure(step, state.ema_params)

        return Look(every=self.training.habits.measure_every, see=see)


def plan_autoencoder(
    training: AutoencoderTraining,
    data: str | Path,
    *,
    init: str | None = None,
    init_from: str | None = None,
    lpips: Sequence[str | Path] = (),
    s2_offset: int | Mapping[str, int] | None = None,
    split: Split | None = None,
) -> AutoencoderPlan:
    """Open the data and the weights.

    Args:
        training: what is asked for.
        data: see `copgen_jax.training.autoencoder_data.open_images`.
        init: model directory or run to start from.
        init_from: modality whose autoencoder of `init` to take.
        lpips: files with torchvision's VGG-16 and lpips' linear layers; none leaves LPIPS out.
        s2_offset: of the data, where it has to be stated.
        split: which cells train; by hash, 90 to 10, by default.

    Raises:
        InputError: an unknown modality, data without it, a batch that does not divide between devices, files that are
            not these weights.
    """
    model = dataclasses.replace(training.model(), provenance={"synthetic": is_world(data) or is_synthetic(data)})
    if training.batch_size % jax.device_count():
        raise InputError(
            f"a batch of {training.batch_size} does not divide between {jax.device_count()} devices: change batch_size"
        )
    if init_from is not None and init is None:
        raise InputError("--init-from names the autoencoder of a model: give that model with --init")
    split = split or Split()
    weights = lpips_params(VGG16, *(read_torch(path) for path in lpips)) if lpips else None
    images = open_images(
        data,
        model.modalities[training.modality],
        model_s2_offset=model.s2_offset,
        s2_offset=s2_offset,
        split=split,
        seed=training.seed,
    )
    batches = ImageBatches(
        images, batch_size=training.batch_size, process=jax.process_index(), processes=jax.process_count()
    )
    discriminator = Discriminator(**dataclasses.asdict(training.discriminator))
    described = {
        "data": str(data) if str(data).startswith("world:") else str(Path(data).absolute()),
        "s2_offset": s2_offset,
        "test_share": split.test_share if split.test_cells is None else None,
        "test_cells": None if split.test_cells is None else _digest(",".join(sorted(split.test_cells)).encode()),
        "lpips": None if weights is None else _digest(*(np.ascontiguousarray(w) for w in weights.values())),
        "init": init,
        "init_from": init_from,
    }
    return AutoencoderPlan(
        training=training,
        model=model,
        autoencoder=build_autoencoder(model, training.modality, dtype=training.dtype),
        discriminator=discriminator if training.loss.discriminator_weight else None,
        lpips=weights,
        batches=batches,
        data=described,
        mesh=make_mesh(fsdp=training.habits.fsdp or 1),
        init=init,
        init_from=init_from,
    )


SHOWN = 8
"""Held-out patches on a sheet."""


class Measure:
    """Measures parameters of a run on patches that it keeps, and writes down what it found."""

    def __init__(self, plan: AutoencoderPlan, run: RunDirectory):
        """Read the patches, and prepare the networks."""
        count = plan.training.habits.measured_patches
        images = plan.batches.images
        self._plan, self._run = plan, run
        self._training = [images.at(position) for position in range(count)]
        self._held_out = images.held_out(count)

        def encode(params: Params, images: Any) -> Any:
            return plan.autoencoder.apply({"params": params}, images, method="encode")

        def decode(params: Params, moments: Any) -> Any:
            mode = moments[..., : plan.modality.latent_channels]
            return plan.autoencoder.apply({"params": params}, mode, method="decode")

        whole = replicated(plan.mesh)
        self._encode, self._decode = (jax.jit(f, out_shardings=whole) for f in (encode, decode))
        self._cut = batch_sharding(plan.mesh)

    def __call__(self, step: int, params: Params) -> dict[str, Any]:
        """Measure the parameters of a step; the document that is written to `MEASURED`."""
        modality = self._plan.modality
        latents = measure_latents(self._of_all(self._encode, params, self._training))
        found = self._of_all(self._decode, params, self._of_all(self._encode, params, self._held_out))
        document = {
            "modality": modality.name,
            "step": step,
            "scale_factor": latents.scale_factor,
            "latents": dataclasses.asdict(latents),
            "held_out": measure_reconstructions(modality, np.stack(self._held_out), found),
        }
        if self._run.is_writer:
            self._draw(step, found)
            with file_aside(self._run.path / MEASURED) as aside:
                aside.write_text(json.dumps(document, indent=1) + "\n")
        self._run.log_event("measured", **document)
        return document

    def _draw(self, step: int, found: np.ndarray) -> None:
        modality, count = self._plan.modality, min(SHOWN, len(found))
        each = np.linspace(0, len(found) - 1, count).astype(int)
        heading = f"{modality.name}: held-out patches after {step:,} steps"
        page = reconstruction_sheet(
            modality,
            np.stack([self._held_out[i] for i in each]),
            found[each],
            s2_offset=self._plan.model.s2_offset,
            heading=heading,
        )
        write_sheet(self._run.sheet(step), page, what=heading)

    def _of_all(
        self, function: Callable[..., Any], params: Params, arrays: Sequence[np.ndarray] | np.ndarray
    ) -> np.ndarray:
        batches = padded(arrays, self._plan.training.batch_size)
        placed = (jax.make_array_from_callback(b.shape, self._cut, lambda index, b=b: b[index]) for b in batches)
        return np.concatenate([np.asarray(function(params, batch)) for batch in placed])[: len(arrays)]


def row_of(reports: Reports) -> Row:
    """Figures of some steps: means over those that were not skipped; the rates and norms of the last."""
    steps: list[AutoencoderReport] = list(reports)
    done = [s for s in steps if not s.skipped] or steps
    last = steps[-1]
    row: Row = {"loss": float(np.mean([s.generator.total for s in done], dtype=np.float64))}
    for part in ("generator", "discriminator"):
        names = [field.name for field in dataclasses.fields(getattr(last, part))]
        terms = {n: [getattr(getattr(s, part), n) for s in done] for n in names}
        row[part] = {name: float(np.mean(values, dtype=np.float64)) for name, values in terms.items()}
    return row | {
        "learning_rate": float(last.learning_rate),
        "gradient_norm": float(last.gradient_norm),
        "skipped": int(sum(s.skipped for s in steps)),
        "skipped_in_a_row": int(max(s.skipped_in_a_row for s in steps)),
    }


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()

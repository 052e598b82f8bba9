"""Training the backbone: what will be trained, on which devices, what it costs; `copgen_jax.training.train` does it.

`plan_backbone` refuses what cannot work, before anything is computed.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from copgen_jax.config import ModelConfig
from copgen_jax.data.latents import open_store
from copgen_jax.data.pipeline import Batches
from copgen_jax.diffusion.objective import Objective
from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet
from copgen_jax.nn.backbone import Backbone
from copgen_jax.parallel import choose_fsdp, device_memory, make_mesh, replicated
from copgen_jax.progress import Track, silently
from copgen_jax.training.backbone_start import placed_start
from copgen_jax.training.config import BackboneTraining
from copgen_jax.training.cost import STATE_BYTES, Cost, estimate_cost, parameter_count, peak_flops
from copgen_jax.training.initialise import (
    LATENTS,
    check_fits,
    check_latent_space,
    flat_on_host,
    fresh_params,
    params_from_model,
)
from copgen_jax.training.loop import Look, Reports, Speed
from copgen_jax.training.metrics import Row
from copgen_jax.training.optimiser import TrainState, make_optimiser, start_state
from copgen_jax.training.run import RunDirectory
from copgen_jax.training.samples import HeldOut, open_held_out, sheets_of_samples
from copgen_jax.training.step import StepReport, make_train_step, training_backbone
from copgen_jax.training.train import Step, compile_step
from copgen_jax.training.worldlatents import WorldBatches, world_latent_space, world_modalities

WORLD = "world"
"""In place of a latent store: block averages of the synthetic world."""

NETWORK = "backbone"
"""What such a run's `config.json` calls the network."""

SPLIT = "train"
"""Of the latent store."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BackbonePlan:
    """A run before its first step (`copgen_jax.training.train.TrainingPlan`)."""

    training: BackboneTraining
    objective: Objective
    model: ModelConfig
    backbone: Backbone
    batches: Any
    """`Batches` or `WorldBatches`."""
    data: Mapping[str, Any]
    mesh: Mesh
    cost: Cost
    init: str | None
    held_out: HeldOut | None
    """What sheets of samples are made of; None draws none."""
    network = NETWORK

    @property
    def speed(self) -> Speed:
        """Samples and operations of a step."""
        return Speed(
            samples_per_step=self.training.batch_size,
            flops_per_step=self.cost.flops_per_step,
            peak_flops=peak_flops(self.training.habits.peak_tflops),
        )

    def lines(self) -> list[str]:
        """The plan for people."""
        t, shape = self.training, dict(self.mesh.shape)
        device = jax.devices()[0]
        epochs = t.habits.steps * t.batch_size / self.batches.patches
        return [
            f"{len(self.model.modalities)} modalities, {self.model.modalities.tokens} tokens: "
            f"{', '.join(self.model.modalities.names)}",
            f"{self.batches.patches:,} patches of {self.data['latents']}; {t.habits.steps:,} steps of {t.batch_size} "
            f"samples in {t.accumulation} micro-batches: {epochs:,.1f} epochs",
            f"{jax.device_count()} x {device.device_kind} in {jax.process_count()} processes, mesh data {shape['data']}"
            f" x fsdp {shape['fsdp']}; compute in {t.dtype}, remat {t.remat}, attention {t.attention}",
            f"{self.cost}" + (f", of {memory / 1e9:.0f} GB" if (memory := device_memory()) else ""),
            "no sheets of samples: --autoencoders MODEL would decode some"
            if self.held_out is None
            else f"a sheet of samples every {t.habits.sample_every:,} steps",
        ]

    def state_shapes(self) -> TrainState:
        """The training state as shapes."""
        optimiser = make_optimiser(self.training.optimiser)
        return jax.eval_shape(lambda: start_state(fresh_params(self.backbone, jax.random.key(0)), optimiser))

    def initial_state(self, shardings: Any) -> TrainState:
        """The state before the first update: each device makes, or is given, its own share only."""
        optimiser = make_optimiser(self.training.optimiser)
        key = jax.random.key(self.training.seed, impl="threefry2x32")

        def params_of(key: jax.Array) -> Any:
            params = fresh_params(self.backbone, key)
            if self.training.start == "published":
                return params
            return placed_start(self.backbone, params, jax.random.fold_in(key, 1))

        if self.init is None:
            return jax.jit(lambda k: start_state(params_of(k), optimiser), out_shardings=shardings)(key)
        fresh = jax.jit(params_of, out_shardings=replicated(self.mesh))(key)
        host = params_from_model(self.init, self.model, flat_on_host(fresh))
        params = jax.tree.map(
            lambda array, sharding: jax.make_array_from_callback(array.shape, sharding, lambda index: array[index]),
            host,
            shardings.params,
        )
        return jax.jit(lambda params: start_state(params, optimiser), out_shardings=shardings)(params)

    def compiled_step(self, shapes: Any, shardings: Any) -> tuple[Step, str]:
        """The step as a program, and what the compiler says that it takes."""
        step = make_train_step(
            self.backbone,
            self.objective,
            self.training.optimiser,
            seed=self.training.seed,
            accumulation=self.training.accumulation,
            mesh=self.mesh,
        )
        return compile_step(step, self, shapes, shardings)

    def row_of(self, reports: Reports) -> Row:
        """Figures of some steps."""
        return row_of(reports, self.model)

    def look(self, run: RunDirectory, say: Callable[[str], None]) -> Look | None:
        """Sheets of samples, where there are autoencoders."""
        if self.held_out is None:
            return None
        return sheets_of_samples(
            self.held_out,
            self.model,
            run,
            self.mesh,
            every=self.training.habits.sample_every,
            dtype=self.training.dtype,
            attention=self.training.attention,
            say=say,
        )


def plan_backbone(
    training: BackboneTraining,
    latents: str | Path,
    *,
    init: str | None = None,
    autoencoders: str | None = None,
    track: Track = silently,
) -> BackbonePlan:
    """Open the data, choose the mesh and estimate the cost.

    Args:
        training: what is asked for.
        latents: a latent store, or "world".
        init: model directory to start from.
        autoencoders: model directory that made the latents, to decode sheets of samples with.
        track: told about patches drawn.

    Raises:
        InputError: a store that is missing, damaged or empty, modalities that it lacks, a batch that does not divide
            between devices and micro-batches, a set of given modalities that are not trained, an `init` of
            another size or latent space, other autoencoders.
    """
    micro = training.batch_size // training.accumulation
    if micro % jax.device_count():
        raise InputError(
            f"a micro-batch of {micro} samples (batch_size {training.batch_size} / accumulation "
            f"{training.accumulation}) does not divide between {jax.device_count()} devices: change batch_size"
        )
    batches, model, data = _open_data(training, latents, track)
    if init is not None:
        from copgen_jax.checkpoints import load_config

        check_fits(init, load_config(init), model)
        check_latent_space(init, data["latent_space"], model.modalities, data.get(LATENTS, {}))
    backbone = training_backbone(model, dtype=training.dtype, attention=training.attention, remat=training.remat)
    devices = jax.device_count()
    fsdp = training.habits.fsdp or choose_fsdp(STATE_BYTES * parameter_count(backbone), device_memory(), devices)
    mesh = make_mesh(fsdp=fsdp)
    cost = estimate_cost(
        backbone,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        devices=devices,
        fsdp=fsdp,
        platform=jax.default_backend(),
    )
    return BackbonePlan(
        training=training,
        objective=training.make_objective(model.modalities),
        model=model,
        backbone=backbone,
        batches=batches,
        data={**data, "init": init},
        mesh=mesh,
        cost=cost,
        init=init,
        held_out=None if autoencoders is None else _held_out(latents, model.modalities, autoencoders),
    )


def row_of(reports: Reports, model: ModelConfig) -> Row:
    """Figures of some steps: means over those that were not skipped; the rates and norms of the last."""
    steps: list[StepReport] = list(reports)
    done = [s for s in steps if not s.update.skipped]
    last = steps[-1].update
    row: Row = {
        "loss": float(np.mean([s.loss for s in done or steps], dtype=np.float64)),
        "learning_rate": float(last.learning_rate),
        "gradient_norm": float(last.gradient_norm),
        "skipped": int(sum(s.update.skipped for s in steps)),
        "skipped_in_a_row": int(max(s.update.skipped_in_a_row for s in steps)),
    }
    modalities = {n: sum(s.errors.by_modality[n] for s in done or steps) for n in model.modalities.names}
    row["modalities"] = {name: _mean(sums) for name, sums in modalities.items()}
    row["time_bins"] = [_mean(sums) for sums in np.sum([s.errors.by_time for s in done or steps], axis=0)]
    return row


def _mean(sums: Any) -> float | None:
    """Of (sum, number); None of nothing."""
    return float(sums[0] / sums[1]) if sums[1] else None


def _held_out(latents: str | Path, modalities: ModalitySet, autoencoders: str) -> HeldOut:
    if str(latents) == WORLD:
        raise InputError(f"no autoencoders made the latents of --latents {WORLD}: leave --autoencoders out")
    return open_held_out(open_store(latents), modalities, autoencoders)


def _open_data(
    training: BackboneTraining, latents: str | Path, track: Track
) -> tuple[Any, ModelConfig, dict[str, Any]]:
    share = {
        "batch_size": training.batch_size,
        "seed": training.seed,
        "process": jax.process_index(),
        "processes": jax.process_count(),
    }
    if str(latents) == WORLD:
        modalities, offset = world_modalities(training.modalities), 1000
        batches: Any = WorldBatches(modalities, **share, track=track)
        data: dict[str, Any] = {"latents": WORLD, "latent_space": world_latent_space(modalities), "split": None}
        provenance = {"trained_on": "block averages of the synthetic world"}
    else:
        store = open_store(latents)
        there, offset = store.description.modalities, store.description.s2_offset
        modalities = there.subset(training.modalities) if training.modalities else there
        batches = Batches(store, SPLIT, modalities=modalities, complete_only=training.complete_only, **share)
        data = {
            "latents": str(Path(latents).absolute()),
            "latent_space": store.description.latent_space,
            "split": SPLIT,
        }
        known = store.description.latents_of_each
        if known:
            data[LATENTS] = {m.name: known[m.name] for m in modalities.images if m.name in known}
        provenance = {"synthetic": store.description.synthetic}
    model = ModelConfig(
        modalities=modalities,
        backbone=training.backbone,
        schedule=training.schedule,
        prediction=training.prediction,
        s2_offset=offset,
        provenance=provenance,
    )
    return batches, model, data

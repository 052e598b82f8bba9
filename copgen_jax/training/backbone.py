"""Training the backbone: from a configuration and a latent store to a run directory.

plan_backbone     what will be trained, on which devices, what it costs; refuses what cannot work
train_backbone    does it: state onto the devices, step compiled, loop; continues a run where it stood
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from copgen_jax.config import ModelConfig
from copgen_jax.data.latents import open_store
from copgen_jax.data.pipeline import Batches, on_devices
from copgen_jax.errors import InputError
from copgen_jax.model import build_backbone
from copgen_jax.nn.backbone import Backbone
from copgen_jax.parallel import (
    batch_sharding,
    choose_fsdp,
    device_memory,
    make_mesh,
    replicated,
    state_shardings,
)
from copgen_jax.progress import Track, silently
from copgen_jax.training.checkpointing import Checkpoints, abstract_state
from copgen_jax.training.config import BackboneTraining
from copgen_jax.training.cost import STATE_BYTES, Cost, estimate_cost, parameter_count, peak_flops
from copgen_jax.training.initialise import (
    check_fits,
    check_latent_space,
    flat_on_host,
    fresh_params,
    params_from_model,
)
from copgen_jax.training.loop import Outcome, Reports, Speed, StopRequest, run_steps
from copgen_jax.training.metrics import MetricsLog, Row
from copgen_jax.training.optimiser import TrainState, make_optimiser, start_state
from copgen_jax.training.run import RunDirectory, open_run
from copgen_jax.training.step import StepReport, make_train_step
from copgen_jax.training.worldlatents import WorldBatches, world_latent_space, world_modalities

WORLD = "world"
"""In place of a latent store: block averages of the synthetic world."""

SPLIT = "train"
"""Of the latent store."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A run before its first step."""

    training: BackboneTraining
    model: ModelConfig
    backbone: Backbone
    batches: Any
    """`Batches` or `WorldBatches`."""
    data: Mapping[str, Any]
    mesh: Mesh
    cost: Cost
    init: str | None

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
        ]


def plan_backbone(
    training: BackboneTraining, latents: str | Path, *, init: str | None = None, track: Track = silently
) -> Plan:
    """Open the data, choose the mesh and estimate the cost.

    Args:
        training: what is asked for.
        latents: a latent store, or "world".
        init: model directory to start from.
        track: told about patches drawn.

    Raises:
        InputError: a store that is missing, damaged or empty, modalities that it lacks, a batch that does not divide
            between devices and micro-batches, an `init` of another size or latent space.
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
        check_latent_space(init, data["latent_space"], model.modalities)
    backbone = build_backbone(model, dtype=training.dtype, attention=training.attention, remat=training.remat)
    devices = jax.device_count()
    fsdp = training.habits.fsdp or choose_fsdp(STATE_BYTES * parameter_count(backbone), device_memory(), devices)
    mesh = make_mesh(fsdp=fsdp)
    cost = estimate_cost(
        backbone,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        devices=devices,
        fsdp=fsdp,
    )
    return Plan(
        training=training,
        model=model,
        backbone=backbone,
        batches=batches,
        data=data,
        mesh=mesh,
        cost=cost,
        init=init,
    )


def train_backbone(
    plan: Plan,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    track: Track = silently,
    tell: Callable[[Row], None] = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[RunDirectory, Outcome]:
    """Train, or continue to.

    Args:
        plan: from `plan_backbone`.
        out: run directory.
        resume: continue the run there, or begin where none is.
        overwrite: replace the run there.
        track: told about steps done.
        tell: told about every row of figures.
        say: told, in a line each, where the run begins and what the compiler says of memory.

    Raises:
        InputError: see `open_run` and `Checkpoints.restore`.
        TrainingStopped: too many updates in a row had no finite gradient.
    """
    training = plan.training
    run = open_run(
        out,
        network="backbone",
        model=plan.model,
        training=training,
        data={**plan.data, "init": plan.init},
        resume=resume,
        overwrite=overwrite,
    )
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        checkpoints = stack.enter_context(
            Checkpoints(run, keep_last=training.habits.keep_last, keep_every=training.habits.keep_every)
        )
        shapes, shardings = state_layout(plan)
        restored = checkpoints.restore(abstract_state(shapes, shardings))
        first, state = restored or (0, initial_state(plan, shardings))
        run.log_event("started", step=first, devices=jax.device_count(), processes=jax.process_count())
        say(f"{run.path}: " + (f"continues after step {first:,}" if first else "begins"))
        log = stack.enter_context(MetricsLog(run, step=first))
        batches = on_devices(plan.batches.from_step(first), batch_sharding(plan.mesh))
        step_function, text = compiled_step(plan, shapes, shardings)
        say(text)
        state, outcome = run_steps(
            state,
            step_function,
            batches,
            first=first,
            habits=training.habits,
            row_of=lambda reports: row_of(reports, plan.model),
            log=log,
            checkpoints=checkpoints,
            stop=stop,
            speed=Speed(
                samples_per_step=training.batch_size,
                flops_per_step=plan.cost.flops_per_step,
                peak_flops=peak_flops(training.habits.peak_tflops),
            ),
            track=track,
            tell=tell,
        )
    run.log_event("preempted" if outcome.preempted else "ended", step=outcome.step)
    return run, outcome


def state_layout(plan: Plan) -> tuple[TrainState, Any]:
    """Shapes of the training state, and where each array lies (`copgen_jax.parallel.CUT`)."""
    optimiser = make_optimiser(plan.training.optimiser)
    shapes = jax.eval_shape(lambda: start_state(fresh_params(plan.backbone, jax.random.key(0)), optimiser))
    return shapes, state_shardings(plan.mesh, shapes)


def initial_state(plan: Plan, shardings: Any) -> TrainState:
    """The state before the first update: each device makes, or is given, its own share only."""
    optimiser = make_optimiser(plan.training.optimiser)
    key = jax.random.key(plan.training.seed, impl="threefry2x32")
    if plan.init is None:
        make = jax.jit(lambda key: start_state(fresh_params(plan.backbone, key), optimiser), out_shardings=shardings)
        return make(key)
    fresh = jax.jit(lambda key: fresh_params(plan.backbone, key), out_shardings=replicated(plan.mesh))(key)
    host = params_from_model(plan.init, plan.model, flat_on_host(fresh))
    params = jax.tree.map(
        lambda array, sharding: jax.make_array_from_callback(array.shape, sharding, lambda index: array[index]),
        host,
        shardings.params,
    )
    return jax.jit(lambda params: start_state(params, optimiser), out_shardings=shardings)(params)


def compiled_step(plan: Plan, shapes: Any, shardings: Any) -> tuple[Callable[..., Any], str]:
    """The step as a compiled program, and what the compiler says that it takes."""
    training = plan.training
    step = make_train_step(
        plan.backbone,
        training.make_objective(),
        training.optimiser,
        seed=training.seed,
        accumulation=training.accumulation,
        mesh=plan.mesh,
    )
    jitted = jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(plan.mesh)),
        out_shardings=(shardings, replicated(plan.mesh)),
        donate_argnums=0,
    )
    compiled = jitted.lower(abstract_state(shapes, shardings), batch_shapes(plan)).compile()
    memory = compiled.memory_analysis()
    if memory is None:
        return compiled, "compiled"
    held, working = memory.argument_size_in_bytes / 1e9, memory.temp_size_in_bytes / 1e9
    return compiled, f"compiled: per device {held:.2f} GB of state and batch, {working:.2f} GB while it works"


def batch_shapes(plan: Plan) -> Any:
    """Shapes of a global batch."""
    example = plan.batches[0]
    factor = jax.process_count()
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            (x.shape[0] * factor, *x.shape[1:]), x.dtype, sharding=batch_sharding(plan.mesh)
        ),
        example,
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
        data = {"latents": WORLD, "latent_space": world_latent_space(modalities), "split": None}
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

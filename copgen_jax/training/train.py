"""One training, of whatever network: `train(plan, out)` opens the run, puts the state on the devices, and loops.

A plan says what is trained, on what and where (`TrainingPlan`); `copgen_jax.training.backbone` and
`copgen_jax.training.autoencoder` make them. Nothing here knows which of the two it is.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
from jax.sharding import Mesh

from copgen_jax.config import ModelConfig
from copgen_jax.data.pipeline import on_devices
from copgen_jax.parallel import batch_sharding, replicated, state_shardings
from copgen_jax.progress import Track, silently
from copgen_jax.training.checkpointing import Checkpoints, abstract_state
from copgen_jax.training.loop import Look, Outcome, Reports, Speed, StopRequest, run_steps
from copgen_jax.training.metrics import MetricsLog, Row
from copgen_jax.training.run import RunDirectory, open_run

Step = Callable[[Any, Mapping[str, Any]], tuple[Any, Any]]
"""(state, batch) -> (state, report); the state's buffers are given away."""


class TrainingPlan(Protocol):
    """A run before its first step."""

    @property
    def network(self) -> str:
        """What is trained: "backbone", or "vae"."""
        ...

    @property
    def training(self) -> Any:
        """The configuration, with its `habits`."""
        ...

    @property
    def model(self) -> ModelConfig:
        """What comes out."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """What it is trained on, as plain data."""
        ...

    @property
    def mesh(self) -> Mesh:
        """The devices."""
        ...

    @property
    def batches(self) -> Any:
        """This process's batches: `batches[step]`, `batches.from_step(step)`."""
        ...

    @property
    def speed(self) -> Speed:
        """What figures of speed are computed from."""
        ...

    def state_shapes(self) -> Any:
        """The training state as shapes."""
        ...

    def initial_state(self, shardings: Any) -> Any:
        """The state before the first update, on the devices."""
        ...

    def compiled_step(self, shapes: Any, shardings: Any) -> tuple[Step, str]:
        """The step as a program, and what the compiler says that it takes (`compile_step`)."""
        ...

    def row_of(self, reports: Reports) -> Row:
        """Figures of some steps."""
        ...

    def look(self, run: RunDirectory, say: Callable[[str], None]) -> Look | None:
        """What is looked at now and then."""
        ...


def train(
    plan: TrainingPlan,
    out: Any,
    *,
    resume: bool = False,
    overwrite: bool = False,
    wandb: str | None = None,
    track: Track = silently,
    tell: Callable[[Row], None] = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[RunDirectory, Outcome]:
    """Train, or continue to.

    Args:
        plan: from `plan_backbone` or `plan_autoencoder`.
        out: run directory.
        resume: continue the run there, or begin where none is.
        overwrite: replace the run there.
        wandb: project of Weights & Biases that is told every row of figures too.
        track: told about steps done.
        tell: told about every row of figures.
        say: told, in a line each, where the run begins, what the compiler says of memory, what is looked at.

    Raises:
        InputError: see `open_run`, `Checkpoints.restore` and the plan's `initial_state`.
        TrainingStopped: too many updates in a row had no finite gradient.
    """
    habits = plan.training.habits
    run = open_run(
        out,
        network=plan.network,
        model=plan.model,
        training=plan.training,
        data=plan.data,
        resume=resume,
        overwrite=overwrite,
    )
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        checkpoints = stack.enter_context(Checkpoints(run, keep_last=habits.keep_last, keep_every=habits.keep_every))
        shapes = plan.state_shapes()
        shardings = state_shardings(plan.mesh, shapes)
        restored = checkpoints.restore(abstract_state(shapes, shardings))
        first, state = restored or (0, plan.initial_state(shardings))
        run.log_event("started", step=first, devices=jax.device_count(), processes=jax.process_count())
        say(f"{run.path}: " + (f"continues after step {first:,}" if first else "begins"))
        log = stack.enter_context(MetricsLog(run, step=first, wandb=wandb))
        batches = on_devices(plan.batches.from_step(first), batch_sharding(plan.mesh))
        step_function, text = plan.compiled_step(shapes, shardings)
        say(text)
        look = plan.look(run, say)
        if look is not None and look.is_due(first, habits.steps):
            look.see(first, state)
        state, outcome = run_steps(
            state,
            step_function,
            batches,
            first=first,
            habits=habits,
            row_of=plan.row_of,
            log=log,
            checkpoints=checkpoints,
            stop=stop,
            speed=plan.speed,
            look=look,
            track=track,
            tell=tell,
        )
    run.log_event("preempted" if outcome.preempted else "ended", step=outcome.step)
    return run, outcome


def compile_step(
    step: Callable[..., Any], plan: TrainingPlan, shapes: Any, shardings: Any, *constants: Any
) -> tuple[Step, str]:
    """`step(state, batch, *constants)` as a program for the plan's mesh, and what it takes of memory, in words.

    Args:
        step: pure.
        plan: says mesh and batches.
        shapes: of the state.
        shardings: of the state.
        constants: arrays that every step is given, whole on every device.
    """
    whole = replicated(plan.mesh)
    jitted = jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(plan.mesh), *(whole for _ in constants)),
        out_shardings=(shardings, whole),
        donate_argnums=0,
    )
    placed = jax.device_put(constants, whole)
    compiled = jitted.lower(abstract_state(shapes, shardings), _batch_shapes(plan), *placed).compile()

    def run_it(state: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        return compiled(state, batch, *placed)

    memory = compiled.memory_analysis()
    if memory is None:
        return run_it, "compiled"
    held, working = memory.argument_size_in_bytes / 1e9, memory.temp_size_in_bytes / 1e9
    return run_it, f"compiled: per device {held:.2f} GB of state and batch, {working:.2f} GB while it works"


def _batch_shapes(plan: TrainingPlan) -> Any:
    """Shapes of a global batch."""
    factor, sharding = jax.process_count(), batch_sharding(plan.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0] * factor, *x.shape[1:]), x.dtype, sharding=sharding),
        plan.batches[0],
    )

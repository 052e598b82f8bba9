"""The published size on one GPU, beside PyTorch: training step, forward pass, sampling, autoencoders, memory.

Made for a machine that is there for minutes: one process does all of JAX's work and one all of PyTorch's, in stages,
the most important first. In a stage what is new is compiled, then all do their work in turns. The table is written
after every stage, and when the stated time is over, what is not measured yet is left out.
"""

import argparse
import dataclasses
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import Result
from benchmarks.contest import Ended, Measured, Side, Work, Worker, measured, torch_is_there
from benchmarks.formulas import backbone_flops, decoder_flops, encoder_flops, matmul_flops, train_flops
from copgen_jax.config import PRESETS, preset
from copgen_jax.errors import InputError
from copgen_jax.training.cost import estimate_cost
from copgen_jax.training.step import training_backbone

ROUNDS = 5
LONG = 5.0
"""Seconds of one piece of work after which it has no further turn in a stage."""
REPEAT = 20
"""Products of matrices between two waits for the device."""
ENVIRONMENT = {
    # With XLA's own kernels among the candidates for every product of matrices a program compiles for minutes.
    "XLA_FLAGS": "--xla_gpu_enable_triton_gemm=false",
    # More than half of the memory in one piece: what grows piece by piece wastes much, and the rest is PyTorch's.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "true",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.55",
}
"""Of JAX's process."""

ORIGINAL = "PyTorch original"

Stage = tuple[dict[str, Work], bool]
"""What is new, and whether earlier work, but for products of matrices, is given up before and not measured again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is measured, from the command line."""

    size: str
    batches: tuple[int, int, int]
    evaluations: int
    images: int
    attention: str
    product: int


STANDARD = Sizes(size="base", batches=(32, 64, 128), evaluations=50, images=32, attention="cudnn", product=8192)
QUICK = Sizes(size="tiny", batches=(1, 2, 3), evaluations=2, images=1, attention="plain", product=128)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=600.0, help="stop and keep what there is (default 600)")
    parser.add_argument("--size", choices=list(PRESETS), help="default: base")
    parser.add_argument("--batches", type=int, nargs=3, metavar="N", help="of the backbone (default 32 64 128)")
    parser.add_argument("--evaluations", type=int, help="of sampling (default 50)")
    parser.add_argument("--images", type=int, metavar="N", help="batch of the autoencoders (default 32)")
    parser.add_argument("--attention", choices=["cudnn", "plain"], help="the faster of JAX (default cudnn)")
    parser.add_argument("--product", type=int, metavar="N", help="rows of the matrices whose product is the limit")


def run(quick: bool, seconds: float = 600.0, **options: Any) -> Iterator[Result]:
    """The table, longer after every stage.

    Raises:
        InputError: nothing was measured in time.
    """
    given = {name: value for name, value in options.items() if value is not None}
    sizes = dataclasses.replace(QUICK if quick else STANDARD, **given)
    contest = _Contest(seconds)
    try:
        for works, alone in _stages(sizes):
            contest.begin({name: work for name, work in works.items() if not quick or _is_quick(work)}, alone)
            if contest.turns:
                # Written while the next stage compiles.
                yield _result(sizes, contest)
            contest.measure()
    except Ended:
        pass
    finally:
        contest.end()
    if not contest.turns:
        raise InputError(f"nothing was measured within {seconds:.0f} seconds: {'; '.join(contest.notes)}")
    yield _result(sizes, contest)


def _is_quick(work: Work) -> bool:
    """PyTorch's compiler takes its time."""
    return work.side == "jax" or work.original or work.task == "matmul"


def _stages(sizes: Sizes) -> Iterator[Stage]:
    """By importance; in a stage by the memory that our work takes, so that each peak shows."""
    small, middle, large = sizes.batches
    fast, every = {"attention": sizes.attention}, [m.name for m in preset(sizes.size).modalities.images]
    widest = [next((n for n in ("S1RTC", "S2L1C_10m") if n in every), every[0])]

    def ours(label: str, task: str, batch: int, setting: str = "bfloat16", **options: Any) -> dict[str, Work]:
        return _named(
            label, Work(side="jax", task=task, size=sizes.size, batch=batch, setting=setting, options=options)
        )

    def theirs(task: str, batch: int, setting: str, label: str = "", **options: Any) -> dict[str, Work]:
        work = Work(side="torch", task=task, size=sizes.size, batch=batch, setting=setting, options=options)
        return _named(f"PyTorch {setting}{label}", work)

    square = {"shape": (sizes.product,) * 3, "repeat": REPEAT}
    yield ours("JAX bfloat16", "matmul", 1, **square) | ours("JAX bfloat16", "train", small, **fast), False
    yield (
        ours("JAX bfloat16", "forward", middle, **fast)
        | ours("JAX bfloat16", "sample", middle, evaluations=sizes.evaluations, **fast)
        | ours("JAX bfloat16", "train", middle, **fast)
        | theirs("matmul", 1, "bfloat16", **square)
        | theirs("train", small, "original")
        | theirs("train", small, "bfloat16")
        | theirs("train", small, "bfloat16", " cudnn", attention="cudnn"),
        False,
    )
    yield (
        ours("JAX bfloat16", "decode", sizes.images, modalities=widest)
        | ours("JAX bfloat16", "forward", small, **fast)
        | ours("JAX bfloat16", "forward", large, **fast)
        | theirs("decode", sizes.images, "original", modalities=widest)
        | theirs("decode", sizes.images, "bfloat16", modalities=widest)
        | theirs("forward", middle, "original")
        | theirs("forward", middle, "bfloat16", " cudnn", attention="cudnn"),
        True,
    )
    yield ours("JAX bfloat16", "decode", sizes.images, modalities=every), True
    yield (
        ours("JAX bfloat16 without a loop", "train", small, written_out=True, **fast)
        | ours("JAX bfloat16 plain attention", "train", small, attention="plain")
        | ours("JAX bfloat16 remat dots", "train", middle, remat="dots", **fast)
        | ours("JAX bfloat16 remat full", "train", large, remat="full", **fast),
        True,
    )
    yield (
        ours("JAX bfloat16", "encode", sizes.images, modalities=widest)
        | ours("JAX float32", "decode", sizes.images, "float32", modalities=widest)
        | theirs("encode", sizes.images, "original", modalities=widest)
        | theirs("encode", sizes.images, "bfloat16", modalities=widest)
        | theirs("decode", sizes.images, "float32", modalities=widest),
        True,
    )
    yield ours("JAX bfloat16", "encode", sizes.images, modalities=every), True


def _named(label: str, work: Work) -> dict[str, Work]:
    return {f"{label}, {work.task} {len(work.options.get('modalities', ()))} {work.batch}": work}


def _contestant(name: str) -> str:
    return name.split(",")[0]


class _Contest:
    """The two processes, what they said, and how long each piece of work took them; ended after so many seconds."""

    def __init__(self, seconds: float):
        sides: tuple[Side, ...] = ("jax", "torch") if torch_is_there() else ("jax",)
        self.workers: dict[Side, Worker] = {side: Worker(side, ENVIRONMENT) for side in sides}
        self.building: dict[Side, list[str]] = {}
        self.works: dict[str, Work] = {}
        self.alive: list[str] = []
        self.said: dict[str, dict[str, Any]] = {}
        self.turns: dict[str, list[tuple[float, float]]] = {}
        self.notes: list[str] = []
        self.over = False
        self.timer = threading.Timer(seconds, self._stop, args=(seconds,))
        self.timer.start()

    def begin(self, works: Mapping[str, Work], alone: bool) -> None:
        """Have the processes compile what is new; they do so while something else is done."""
        if alone:
            gone = [name for name in self.alive if self.works[name].task != "matmul"]
            self.alive = [name for name in self.alive if name not in gone]
            for side in self.workers:
                self._ask(side, forget=gone)
        self.works |= works
        for side in self.workers:
            new = {name: dataclasses.asdict(work) for name, work in works.items() if work.side == side}
            if new:
                self.building[side] = list(new)
                self._tell(side, build=new)

    def measure(self) -> None:
        """Wait for what compiles, then all that is alive in turns."""
        for side, names in self.building.items():
            answers = self._answer(side)
            for name in names:
                self._heard(name, answers.get(name, {"failed": "its process ended"}))
        self.building = {}
        used = dict.fromkeys(self.alive, 0.0)
        for _ in range(ROUNDS):
            for name in [name for name in self.alive if used[name] < LONG]:
                used[name] += self._turn(name)

    def end(self) -> None:
        """No process is left."""
        self.timer.cancel()
        for worker in self.workers.values():
            worker.kill()

    def _turn(self, name: str) -> float:
        """Its seconds; none where it fails, and then it has no further turn."""
        answer = self._ask(self.works[name].side, do=name) if name in self.alive else {}
        if "wall" in answer:
            self.said[name] |= answer
            self.turns.setdefault(name, []).append((answer["wall"], answer["processor"]))
            return answer["wall"]
        self.alive = [other for other in self.alive if other != name]
        self._note(f"{name}: {answer.get('failed', 'its process ended')}")
        return 0.0

    def _heard(self, name: str, answer: dict[str, Any]) -> None:
        """What became of a piece of work that was to be built and done once."""
        if "failed" in answer:
            self._note(f"{name}: {answer['failed']}")
        else:
            self.said[name] = answer
            self.alive.append(name)

    def _ask(self, side: Side, **command: Any) -> dict[str, Any]:
        self._tell(side, **command)
        return self._answer(side)

    def _tell(self, side: Side, **command: Any) -> None:
        try:
            self.workers[side].tell(**command)
        except Ended:
            # That there is no answer says it once more.
            if self.over:
                raise

    def _answer(self, side: Side) -> dict[str, Any]:
        """Nothing where the process ended by itself: another takes its place, for what is still to come."""
        try:
            return self.workers[side].answer()
        except Ended:
            if self.over:
                raise
            self.alive = [name for name in self.alive if self.works[name].side != side]
            self.workers[side] = Worker(side, ENVIRONMENT)
            return {}

    def _stop(self, seconds: float) -> None:
        self.over = True
        self._note(f"Stopped after {seconds:.0f} seconds: what is not in the table was not measured")
        for worker in list(self.workers.values()):
            worker.process.kill()

    def _note(self, said: str) -> None:
        self.notes.append(said)
        print(said, file=sys.stderr)


def _result(sizes: Sizes, contest: _Contest) -> Result:
    found = {name: measured(contest.said[name], turns) for name, turns in contest.turns.items()}
    limit = max(
        (_flops(contest.works[n]) / m.median for n, m in found.items() if contest.works[n].task == "matmul"),
        default=None,
    )
    opponents: dict[Any, dict[str, float]] = {}
    for name, one in found.items():
        if contest.works[name].side == "torch":
            opponents.setdefault(_same(contest.works[name]), {})[_contestant(name)] = one.median
    rows = [_row(n, contest.works[n], m, limit, opponents.get(_same(contest.works[n]), {})) for n, m in found.items()]
    return Result(
        title=f"One GPU, {sizes.size} size",
        rows=rows,
        notes=[
            "Medians of warm repetitions in turns, the device waited for; spread is half the middle half over the "
            f"median. Operations by formula; the peak is the fastest product of two {sizes.product} x {sizes.product} "
            f"bfloat16 matrices of the same run, {REPEAT} in a row. A sample is of all modalities, from noise, by "
            f"{sizes.evaluations} evaluations.",
            "PyTorch 'original': float16 autocast, attention in float32, checkpointing in training, float32 "
            "autoencoders; its other settings: torch.compile, fused attention (PyTorch's own, or cuDNN's), fused "
            "AdamW, channels-last, TF32 where float32. A training step is drawing noise, gradient, AdamW and average.",
            "GB planned: arguments, results and what the program takes, as the compiler says; GB peak: what the device "
            "counted, without other work of the process; GB by formula: `copgen_jax.training.cost`.",
            f"JAX with XLA_FLAGS={ENVIRONMENT['XLA_FLAGS']}. Seconds of the first time are of programs that were "
            "compiled side by side, PyTorch's beside JAX's.",
            *contest.notes,
        ],
    )


def _row(name: str, work: Work, one: Measured, limit: float | None, opponents: dict[str, float]) -> dict[str, Any]:
    repeat = work.options.get("repeat", 1)
    # The original's autoencoders are float32, and so have no part of that limit.
    half = work.dtype != "float32" and (not work.original or work.task not in ("encode", "decode"))
    in_limit = limit if half else None
    details = one.details
    planned = (
        details["argument_megabytes"] + details["temporary_megabytes"] + details["output_bytes"] / 2**20
        if work.side == "jax"
        else None
    )
    return {
        "task": work.task,
        "modalities": len(work.options["modalities"]) if "modalities" in work.options else None,
        "batch": work.batch,
        "contestant": _contestant(name),
        "ms per sample": one.median / work.batch / repeat * 1e3,
        "spread": one.spread,
        "rounds": len(one.wall),
        "s first": one.first,
        "TFLOP/s": _flops(work) / one.median / 1e12,
        "share of peak": _flops(work) / one.median / in_limit if in_limit else None,
        "times PyTorch original": opponents[ORIGINAL] / one.median if ORIGINAL in opponents else None,
        "times fastest PyTorch": min(opponents.values()) / one.median if opponents else None,
        "GB planned": planned * 2**20 / 1e9 if planned else None,
        "GB peak": one.peak_megabytes * 2**20 / 1e9 if one.peak_megabytes else None,
        "GB by formula": _formula(work) / 1e9 if work.task == "train" and work.side == "jax" else None,
    }


def _same(work: Work) -> Any:
    """What two contestants must have in common to be compared."""
    return work.task, work.batch, tuple(work.options.get("modalities", ()))


def _flops(work: Work) -> float:
    config = preset(work.size)
    if work.task == "matmul":
        return work.options["repeat"] * matmul_flops(work.options["shape"])
    if work.task in ("encode", "decode"):
        formula = {"encode": encoder_flops, "decode": decoder_flops}[work.task]
        return work.batch * sum(formula(config, name) for name in work.options["modalities"])
    if work.task == "train":
        return work.batch * train_flops(config)
    return work.batch * work.options.get("evaluations", 1) * backbone_flops(config)


def _formula(work: Work) -> float:
    backbone = training_backbone(
        preset(work.size),
        dtype=work.setting,
        attention=work.options.get("attention", "plain"),
        remat=work.options.get("remat", "none"),
    )
    return estimate_cost(backbone, batch_size=work.batch, accumulation=1, devices=1, fsdp=1, platform="gpu").memory

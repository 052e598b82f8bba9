"""`copgen evaluate`: judge models by protocols, and write a report."""

import argparse
import datetime
from pathlib import Path
from typing import Any

from copgen_jax.cli.generate import pairs
from copgen_jax.errors import InputError, suggestion

EXAMPLES = """\
examples:
  copgen evaluate stochastic --model MODEL --data world:0 --cells 100 --out report/
  copgen evaluate peak leave-one-out spectra --model mine=MODEL --data tiles/ --s2-offset 433D_629L_3_1=1000 S2L2A=0 \\
      S2L1C=0 --out report/
  copgen evaluate all --predictions copgen=outputs/copgen terramind=outputs/terramind \\
      --predictions-offset copgen=1000 terramind=0 --data majortom/ --out report/ --dry-run
  copgen evaluate stochastic --data world:0 --faulty --out report/       what a collapsed or biased model looks like
"""
ALL = "all"
NAMES = (
    "stochastic", "peak", "leave-one-out", "band-infilling", "narrowing", "spectra", "seasonality", "climate",
    "location",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, most used first."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("protocols", nargs="+", metavar="PROTOCOL", help=f"{', '.join(NAMES)}, or all")
    add("--model", nargs="+", default=[], metavar="[NAME=]MODEL", help="model directories, or demo")
    add("--predictions", nargs="+", default=[], metavar="NAME=DIR", help="outputs of other programs")
    add(
        "--predictions-offset",
        nargs="+",
        default=[],
        metavar="NAME=DN",
        help="DN of zero reflectance in each of --predictions: 1000 or 0",
    )
    add("--data", required=True, metavar="DIR|world:SEED", help="cells, tiles, the published benchmark, or the world")
    add("--out", required=True, metavar="REPORT", help="directory of the report and of finished cells")
    add("--cells", type=int, metavar="N", help="at most so many cells (default: all; 100 of a world)")
    add("--seeds", type=int, metavar="N", help="at most so many seeds per cell (default: as published)")
    add("--acquisitions", type=int, default=16, metavar="N", help="true acquisitions per cell (default 16)")
    add("--s2-offset", nargs="+", default=[], metavar="PRODUCT=DN", help="where the data does not say it")
    add("--seed", type=int, default=0, metavar="N", help="of the run whose members are the protocols' seeds")
    add("--faulty", action="store_true", help="with world:SEED, also models whose faults are known")
    add(
        "--climate",
        metavar="FILE",
        help="Köppen zones for maps: GeoJSON with a property climate, or a GeoTIFF of 1 to 30",
    )
    add("--dry-run", action="store_true", help="print the plan and the time it would take, and stop")
    add("--overwrite", action="store_true", help="score finished cells again")
    add("--shard", default="0/1", metavar="I/N", help="score every N-th cell from the I-th: one process each")

    drawing = parser.add_argument_group("how models of this package draw")
    add = drawing.add_argument
    add("--evaluations", type=int, metavar="N", help="network calls per sample (default: the model's)")
    add("--solver", metavar="NAME", help="default: the model's")
    add("--batch-size", default="auto", metavar="N|auto", help="samples at a time")
    add("--dtype", choices=["float32", "bfloat16"], default="float32", help="compute dtype")

    deep = parser.add_argument_group("deep features (their columns are left out without)")
    deep.add_argument("--resnet50", metavar="PTH", help="torchvision's ImageNet weights, V1")
    deep.add_argument("--lpips", nargs=2, metavar=("ALEXNET", "LINEAR"), help="AlexNet and LPIPS linear weights")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Check, plan, draw and score, render."""
    names = _names(arguments.protocols)
    shard = _shard(arguments.shard)
    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.evaluation.protocols.estimate import estimate, in_words
    from copgen_jax.evaluation.protocols.registry import PROTOCOLS
    from copgen_jax.evaluation.protocols.running import Evaluation, evaluate, plan_task

    keep_compilations()
    settings = _settings(arguments)
    bench, sources = _bench_and_sources(arguments, terminal)
    evaluation = Evaluation(
        tasks=tuple(plan_task(PROTOCOLS[name], bench, settings) for name in names),
        sources=sources,
        settings=settings,
        out=Path(arguments.out),
    )
    expected = estimate(evaluation, overwrite=arguments.overwrite)
    _say_plan(terminal, evaluation, expected)
    if arguments.dry_run:
        plan = {"cells": expected.cells, "samples": expected.samples, "seconds": expected.seconds}
        terminal.result(plan, "Nothing was drawn.")
        return
    seconds = evaluate(evaluation, shard=shard, overwrite=arguments.overwrite, track=terminal.track)
    took = f"It took {in_words(seconds)}"
    if expected.cells and shard[1] == 1:
        took += f"; the estimate was {in_words(expected.seconds)} ({expected.seconds / max(seconds, 1e-3):.2g} times)"
    path = render(evaluation, [f"{took}."] if expected.cells else [])
    terminal.say(f"{took}.")
    _result(terminal, evaluation, path, seconds, expected.seconds)


def render(evaluation, remarks: list[str]) -> Path:
    """The report of all finished cells."""
    from copgen_jax.evaluation.protocols.running import outcome_of
    from copgen_jax.evaluation.report.writing import write_report
    from copgen_jax.version import program_version

    sections = [task.protocol.summarise(outcome_of(evaluation, task)) for task in evaluation.tasks]
    models = [source.name for source in evaluation.sources if source.kind != "simulator"]
    bench = evaluation.tasks[0].bench
    kind = "SYNTHETIC DATA. " if bench.synthetic else ""
    intro = [
        f"{kind}{bench.description[0].upper()}{bench.description[1:]}.",
        f"copgen_jax {program_version()}, {datetime.date.today().isoformat()}.",
        *remarks,
    ]
    if bench.synthetic:
        intro.append(
            "Read every model beside two rows whose truth is known: the simulator's own fresh draws, which no model "
            "can beat, and their mean, which is what a collapsed model gives."
        )
    return write_report(
        evaluation.out,
        title=f"Evaluation of {', '.join(models) or 'the simulator'}",
        intro=intro,
        sections=sections,
        settings={source.name: source.settings for source in evaluation.sources},
    )


def _names(words: list[str]) -> tuple[str, ...]:
    if ALL in words:
        return NAMES
    for word in words:
        if word not in NAMES:
            raise InputError(f"unknown protocol {word!r}: {suggestion(word, (*NAMES, ALL))}")
    return tuple(dict.fromkeys(words))


def _shard(text: str) -> tuple[int, int]:
    first, slash, count = text.partition("/")
    if not (slash and first.isdigit() and count.isdigit() and int(first) < int(count)):
        raise InputError(f"--shard is {text!r}; expected I/N with I below N, such as 0/4")
    return int(first), int(count)


def _settings(arguments: argparse.Namespace) -> Any:
    from copgen_jax.evaluation.protocols.koppen import read_climate
    from copgen_jax.evaluation.protocols.protocol import Settings

    for option in ("cells", "seeds", "acquisitions"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise InputError(f"--{option} is {value}; expected 1 or more")
    return Settings(
        seeds=arguments.seeds,
        acquisitions=arguments.acquisitions,
        deep=_deep(arguments),
        climate=read_climate(arguments.climate) if arguments.climate else None,
    )


def _deep(arguments: argparse.Namespace) -> Any:
    from copgen_jax.checkpoints import read_torch
    from copgen_jax.evaluation.metrics.embeddings import deep_features
    from copgen_jax.nn.perceptual import ALEXNET, lpips_params
    from copgen_jax.nn.resnet import resnet50_params

    alexnet = lpips_params(ALEXNET, *(read_torch(path) for path in arguments.lpips)) if arguments.lpips else None
    resnet = resnet50_params(read_torch(arguments.resnet50)) if arguments.resnet50 else None
    return deep_features(resnet=resnet, lpips_alexnet=alexnet)


def _bench_and_sources(arguments: argparse.Namespace, terminal) -> Any:
    from copgen_jax.evaluation.sources import NetworkSource
    from copgen_jax.generate.generator import load
    from copgen_jax.modalities import COPGEN

    models = [_named(word) for word in arguments.model]
    generators = {}
    for name, place in models:
        if name in generators:
            raise InputError(f"two models are called {name!r}; give names with NAME=MODEL")
        generators[name] = load(place, dtype=arguments.dtype, track=terminal.track)
    extents = {name: max(m.extent for m in g.modalities.images) for name, g in generators.items()}
    if len(set(extents.values())) > 1:
        raise InputError(f"the models have patches of different size, {extents} metres; evaluate them one by one")
    widest = max((g.modalities for g in generators.values()), key=len, default=COPGEN)
    bench = _bench(arguments, widest)
    batch = arguments.batch_size if arguments.batch_size == "auto" else int(arguments.batch_size)
    sources: list[Any] = [
        NetworkSource(
            name=name,
            generator=generator,
            seed=arguments.seed,
            evaluations=arguments.evaluations,
            solver=arguments.solver,
            batch_size=batch,
            kept=Path(arguments.out) / "drawn" / name.replace("/", "-"),
        )
        for name, generator in generators.items()
    ]
    sources += _predictions(arguments)
    sources += _simulated(arguments, bench)
    if not sources:
        raise InputError("nothing to evaluate; give --model or --predictions, or --faulty with world:SEED")
    return bench, tuple(sources)


def _bench(arguments: argparse.Namespace, modalities) -> Any:
    from copgen_jax.evaluation.benchmark_parquet import BenchmarkBench, Images, is_benchmark
    from copgen_jax.evaluation.scenes import open_bench

    offsets = _offsets(arguments.s2_offset, "--s2-offset")
    if not arguments.data.startswith("world:") and is_benchmark(Path(arguments.data)):
        if "S2L2A" not in offsets:
            raise InputError("the published benchmark does not say its DN offset; state it with --s2-offset S2L2A=1000")
        return BenchmarkBench(Images(Path(arguments.data), "real", offsets["S2L2A"]), arguments.cells)
    return open_bench(arguments.data, modalities=modalities, s2_offset=offsets or None, cells=arguments.cells)


def _predictions(arguments: argparse.Namespace) -> list[Any]:
    from copgen_jax.evaluation.benchmark_parquet import BenchmarkSource, Images, is_benchmark
    from copgen_jax.evaluation.predictions import PredictionSource

    offsets = _offsets(arguments.predictions_offset, "--predictions-offset")
    found: list[Any] = []
    for name, place in pairs(arguments.predictions, "--predictions").items():
        if name not in offsets:
            raise InputError(
                f"the DN offset of {name} is not known: state it with --predictions-offset {name}=1000 (COP-GEN as "
                f"published) or {name}=0"
            )
        path = Path(place)
        if not path.is_dir():
            raise InputError(f"--predictions {name}: {place} is no directory")
        if is_benchmark(path.parent):
            found.append(BenchmarkSource(name, Images(path.parent, path.name, offsets[name])))
        else:
            source = PredictionSource(name, path, offsets[name])
            if source.runs:
                found.append(source)
    return found


def _simulated(arguments: argparse.Namespace, bench) -> list[Any]:
    from copgen_jax.evaluation.scenes import WorldBench
    from copgen_jax.evaluation.simulators import FAULTS, IDEAL, MEAN, SimulatedSource

    if not isinstance(bench, WorldBench):
        if arguments.faulty:
            raise InputError("--faulty needs --data world:SEED: faults are known only where the truth is")
        return []
    return [SimulatedSource(name, bench) for name in FAULTS if arguments.faulty or name in (IDEAL, MEAN)]


def _named(word: str) -> tuple[str, str]:
    name, equals, place = word.partition("=")
    return (name, place) if equals and name and place else (Path(word).name or word, word)


def _offsets(words: list[str], option: str) -> dict[str, int]:
    found = pairs(words, option)
    for key, value in found.items():
        if not value.removeprefix("-").isdigit():
            raise InputError(f"{option} {key} is {value!r}; expected a whole number such as 1000 or 0")
    return {key: int(value) for key, value in found.items()}


def _say_plan(terminal, evaluation, expected) -> None:
    bench = evaluation.tasks[0].bench
    terminal.say(f"Data: {bench.description}.")
    terminal.say(f"Models: {', '.join(source.name for source in evaluation.sources)}.")
    for task in evaluation.tasks:
        experiments, cells = len(task.experiments), len(task.cells)
        seeds = max((min(e.count, len(e.pool)) for e in task.experiments), default=0)
        terminal.say(f"  {task.protocol.name}: {experiments} sets of conditions, {cells} cells, up to {seeds} seeds")
    terminal.say(f"To do: {expected}.")


def _result(terminal, evaluation, path: Path, seconds: float, expected: float) -> None:
    import json

    from copgen_jax.evaluation.report.writing import VERDICTS

    verdicts = json.loads((evaluation.out / VERDICTS).read_text())
    lines = []
    for source, answers in verdicts.items():
        words = [f"{question} {given['answer']}" for question, given in answers.items()]
        lines.append(f"{source}: {', '.join(words)}")
    data = {"report": str(path), "seconds": seconds, "estimated_seconds": expected, "verdicts": verdicts}
    terminal.result(data, "\n".join([*lines, f"Report: {path}"]))

"""`copgen encode --data DIR --model MODEL --out LATENTS`: posterior moments of every patch and modality."""

import argparse
from typing import Any

from copgen_jax.errors import InputError

EXAMPLES = """\
examples:
  copgen encode --data majortom/ --model MODEL --out latents/
  copgen encode --data tiles/ --s2-offset 0 433D_629L_3_1=1000 --model MODEL --out latents/
  copgen encode --data world:0:100 --model MODEL --out latents/             cells of the synthetic world, without files
  copgen encode --data world:0:8000:patches --model MODEL --out latents/    one patch of each of 8000 of its cells
  sbatch --array=0-15 --wrap \\
    'copgen encode --data majortom/ --model MODEL --out latents/ --task $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, most used first."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "--data",
        required=True,
        metavar="DIR",
        help="Major TOM cells, aligned tiles, world:SEED:CELLS or world:SEED:PATCHES:patches",
    )
    add("--model", required=True, metavar="MODEL", help="model directory with autoencoders, or demo")
    add("--out", required=True, metavar="STORE", help="latent store to write")
    add("--resume", action="store_true", help="go on with a store that was begun")
    add("--overwrite", action="store_true", help="replace a latent store")
    add("--dry-run", action="store_true", help="check everything, print the plan and stop")

    data = parser.add_argument_group("what is encoded")
    add = data.add_argument
    add(
        "--s2-offset",
        nargs="+",
        default=[],
        metavar="WHAT=DN",
        help="DN of zero reflectance where the data do not say it, of all, by product (S2L2A=1000), place, or both "
        "(433D_629L_3_1/S2L2A=1000)",
    )
    add("--max-cloud-cover", type=float, metavar="PERCENT", help="leave out cells whose metadata state more")
    add("--max-nodata", type=float, metavar="X", help="leave out cells whose metadata state more, in their own unit")
    add("--test-share", type=float, default=0.1, metavar="SHARE", help="of the cells, by hash of their name (0.1)")
    add("--split-list", metavar="FILE", help="text file with the names of the cells that test, instead of a share")
    add("--intersection", action="store_true", help="only patches that have every modality, as the original trains")

    store = parser.add_argument_group("how it is stored")
    add = store.add_argument
    add("--precision", choices=["float16", "float32"], default="float16", help="of the stored moments (float16)")
    add("--packed", action="store_true", help="add the packed twin: faster training, twice the bytes")

    work = parser.add_argument_group("how the work is done")
    add = work.add_argument
    add(
        "--task",
        metavar="I/N",
        help="the share of process I of N, counted from 0; they need not run together (default: "
        "as JAX_NUM_PROCESSES and JAX_PROCESS_ID say)",
    )
    add("--batch-size", type=int, metavar="N", help="patches at a time, all local devices together")
    add("--dtype", choices=["float32", "bfloat16"], default="float32", help="compute dtype")
    add("--threads", type=int, metavar="N", help="that read data (default: one per core, at most 8)")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Check, plan, encode, say how it went."""
    import dataclasses

    from copgen_jax.checkpoints import find_model, latents_of_each, load_config, load_hashes
    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.data.majortom import Limits, report, tally
    from copgen_jax.encode import encode, load_encoder, make_plan
    from copgen_jax.encode.sources import open_source

    threads = _threads(arguments.threads)
    task = _task(arguments)
    model = find_model(arguments.model)
    config, hashes = load_config(model), load_hashes(model)
    modalities = config.modalities.subset([*config.autoencoders, *(m.name for m in config.modalities.vectors)])
    limits = Limits(cloud_cover=arguments.max_cloud_cover, nodata=arguments.max_nodata)
    offsets = stated_offsets(arguments.s2_offset)
    source = open_source(arguments.data, modalities, s2_offset=offsets, limits=limits)
    each = latents_of_each(config, hashes)
    plan = make_plan(
        source, config, latent_space=hashes.latent_space, latents_of_each=each, options=_options(arguments)
    )
    _say_plan(terminal, plan, task)
    if arguments.dry_run:
        cells = {split: len(names) for split, names in plan.cells.items()}
        terminal.result({"cells": cells, "patches": plan.patches, "bytes_at_most": plan.bytes_at_most, "dry_run": True})
        return
    keep_compilations()
    encoder = load_encoder(
        model, plan.images, batch_size=arguments.batch_size, dtype=arguments.dtype, track=terminal.track
    )
    gigabytes = encoder.bytes_on_device / 1e9
    terminal.say(
        f"{encoder.batch_size} patches at a time, for which a device needs about {gigabytes:.2f} GB; "
        f"{threads} threads read"
    )
    encoded = encode(
        plan,
        encoder,
        arguments.out,
        task=task,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        threads=threads,
        track=terminal.track,
        tell=lambda standing: terminal.say(str(standing)),
    )
    standing = encoded.standing
    data = dataclasses.asdict(standing) | {
        "store": arguments.out,
        "complete": encoded.store.complete,
        "megapixels_per_second": standing.megapixels_per_second,
        "batch_size": encoder.batch_size,
        "left_out": tally(encoded.issues),
        "not_whole": encoded.not_whole,
    }
    terminal.result(data, "\n".join(_outcome(arguments.out, encoded, report(encoded.issues))))


def _options(arguments: argparse.Namespace) -> Any:
    from copgen_jax.data.majortom import Split, split_from_list
    from copgen_jax.encode import EncodeOptions
    from copgen_jax.encode.sources import is_synthetic

    by_list = arguments.split_list is not None
    return EncodeOptions(
        split=split_from_list(arguments.split_list) if by_list else Split(test_share=arguments.test_share),
        precision=arguments.precision,
        packed=arguments.packed,
        intersection=arguments.intersection,
        synthetic=is_synthetic(arguments.data),
        provenance={
            "data": arguments.data,
            "model": arguments.model,
            "dtype": arguments.dtype,
            "intersection": arguments.intersection,
        },
    )


def _task(arguments: argparse.Namespace) -> Any:
    """The share of this process: as stated, or as the launcher of a job of many JAX processes says.

    The processes are not connected (`jax.distributed`): none has to wait for, or dies with, another.

    Raises:
        InputError: not I/N, or combined with --overwrite.
    """
    import os

    from copgen_jax.encode import Task
    from copgen_jax.parallel import PROCESS, PROCESSES

    launched = f"{os.environ.get(PROCESS, '0')}/{os.environ.get(PROCESSES, '1')}"
    index, _, count = (arguments.task or launched).partition("/")
    if not (index.isdigit() and count.isdigit()):
        what = f"--task is {arguments.task!r}" if arguments.task else f"{PROCESS}/{PROCESSES} is {launched!r}"
        raise InputError(f"{what}; expected I/N, such as 0/16 for the first of 16")
    task = Task(index=int(index), count=int(count))
    if task.count > 1 and arguments.overwrite:
        raise InputError("several processes would remove each other's shards under --overwrite; delete the store first")
    return task


def _threads(asked: int | None) -> int:
    import os

    if asked is not None and asked < 1:
        raise InputError(f"--threads is {asked}; expected 1 or more")
    return asked or min(8, len(os.sched_getaffinity(0)))


def stated_offsets(words: list[str]) -> dict[str, int] | None:
    """Numbers by WHAT, and one without for all else, as `copgen_jax.data.majortom.open_data` takes them.

    Raises:
        InputError: no whole number, or several without WHAT.
    """
    from copgen_jax.cli.generate import pairs

    bare = [word for word in words if "=" not in word]
    named = {"all": bare[0]} if bare else {}
    named |= pairs([word for word in words if "=" in word], "--s2-offset")
    for key, value in named.items():
        if not value.removeprefix("-").isdigit() or len(bare) > 1:
            raise InputError(f"--s2-offset {key} is {value!r}; expected one whole number such as 1000 or 0")
    return {key: int(value) for key, value in named.items()} or None


def _say_plan(terminal, plan, task) -> None:
    cells = ", ".join(f"{len(names):,} in {split}" for split, names in plan.cells.items())
    terminal.say(
        f"{cells}: {plan.description.patches_per_cell} patches each, {plan.patches:,} in all; "
        f"at most {plan.bytes_at_most / 1e6:,.0f} MB of moments"
    )
    terminal.say(f"modalities: {', '.join(plan.images.names)}")
    lacking = [m.name for m in plan.description.modalities.images if m.name not in plan.images]
    if lacking:
        terminal.say(f"absent, because the model has no autoencoder of them: {', '.join(lacking)}")
    if task.count > 1:
        terminal.say(f"this is process {task.index} of {task.count}, counted from 0")


def _outcome(out: str, encoded, left_out: list[str]) -> list[str]:
    standing = encoded.standing
    lines = [
        f"wrote {standing.shards} shards of {out} in {standing.seconds:.0f} s: {standing.patches:,} patches, "
        f"{standing.images:,} images, {standing.megapixels_per_second:.3g} MPix/s, "
        f"devices idle {standing.idle_share:.0%}"
    ]
    if encoded.not_whole:
        lines.append(f"{encoded.not_whole:,} patches left out, because they lack a modality")
    if left_out:
        lines += ["not there or left out:", *(f"  {line}" for line in left_out)]
    if not encoded.store.complete:
        lines.append("other shards are still missing: run the other tasks, or this one again with --resume")
    return lines

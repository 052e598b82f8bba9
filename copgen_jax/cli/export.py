"""`copgen export --latents STORE --out DIR`: some patches of a latent store, for other programs."""

import argparse

from copgen_jax.errors import InputError

EXAMPLES = """\
examples:
  copgen export --latents STORE --out out/                                  an index of what is where
  copgen export --latents STORE --model MODEL --format cog --cells 433D_629L --out out/
  copgen export --latents STORE --model MODEL --format zarr --want S2L2A DEM --box -10,35,5,45 --patches 500 --out out/
  copgen export --latents STORE --raw --split test --out out/               a latent store of the test split
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, most used first."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--latents", required=True, metavar="STORE", help="latent store, finished or not")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="new directory: index.parquet, collection.json, and what is asked for",
    )
    add("--format", nargs="+", choices=["cog", "zarr"], default=[], help="decoded rasters (needs --model)")
    add("--model", metavar="MODEL", help="the model whose autoencoders made the latents, or demo")
    add("--raw", action="store_true", help="the latents themselves, as a smaller latent store")
    add("--overwrite", action="store_true", help="replace what is at --out")
    add("--dry-run", action="store_true", help="say what would be written, and stop")

    subset = parser.add_argument_group("which patches (all conditions together)")
    add = subset.add_argument
    add("--want", nargs="+", metavar="PRODUCT", help="products or modalities (default: all)")
    add("--split", nargs="+", metavar="SPLIT", help="train, test (default: all)")
    add("--cells", nargs="+", metavar="CELL", help="names of cells or tiles")
    add("--box", metavar="W,S,E,N", help="degrees; west > east across the date line")
    add("--complete", action="store_true", help="patches that have every wanted modality")
    add("--patches", type=int, metavar="N", help="at most N, evenly spread")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Choose, say, decode, write."""
    import dataclasses

    from copgen_jax.checkpoints import find_model
    from copgen_jax.data.latents import open_store
    from copgen_jax.export import choose, export, load_decoder

    if bool(arguments.format) != bool(arguments.model):
        raise InputError("--format and --model belong together: rasters are decoded by the model that encoded them")
    store = open_store(arguments.latents, incomplete=True)
    chosen = choose(
        store,
        splits=arguments.split,
        cells=arguments.cells,
        box=_box(arguments.box),
        complete=arguments.complete,
        want=arguments.want,
        patches=arguments.patches,
    )
    counts = {part.split: len(part) for part in chosen}
    unfinished = "" if store.complete else " (the store is not finished)"
    terminal.say(f"{', '.join(f'{count:,} patches of {split}' for split, count in counts.items())}{unfinished}")
    terminal.say(f"modalities: {', '.join(chosen[0].names)}")
    if arguments.dry_run:
        terminal.result({"patches": counts, "dry_run": True})
        return
    decoder = None
    if arguments.model:
        decoder = load_decoder(find_model(arguments.model), store, track=terminal.track)
    exported = export(
        chosen,
        arguments.out,
        decoder=decoder,
        cog="cog" in arguments.format,
        zarr="zarr" in arguments.format,
        latents=arguments.raw,
        overwrite=arguments.overwrite,
        track=terminal.track,
    )
    terminal.result(
        {"out": arguments.out, **dataclasses.asdict(exported)},
        f"wrote {exported.patches:,} patches, {exported.images:,} rasters, to {arguments.out}: "
        f"{', '.join(exported.contents)}",
    )


def _box(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--box is {text!r}; expected W,S,E,N in degrees, such as -10,35,5,45") from error
    return west, south, east, north

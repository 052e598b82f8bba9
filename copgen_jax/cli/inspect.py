"""`copgen inspect STORE`: what is in a latent store, and whether it is whole."""

import argparse
from pathlib import Path

BARS = " .:-=+*#"
"""From no patch to the most, in the map and the histograms."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("store", metavar="STORE", help="latent store, finished or not")
    parser.add_argument("--verify", action="store_true", help="read all of it and compare every checksum")
    parser.add_argument("--map", metavar="PNG", help="also write a world map of the patches")
    parser.add_argument("--model", help='model directory, or "demo": decode some patches, see --picture')
    parser.add_argument(
        "--picture", metavar="PNG", help="also write decoded patches of the first split (needs --model)"
    )


def run(arguments: argparse.Namespace, terminal) -> None:
    """Print the summary, and the damage under --verify.

    Raises:
        InputError: no latent store, or --verify found it damaged.
    """
    import dataclasses

    from copgen_jax.checkpoints import find_model
    from copgen_jax.data.latents import open_store
    from copgen_jax.data.latents.summary import summarise, write_map
    from copgen_jax.data.latents.verify import verify
    from copgen_jax.errors import InputError

    if bool(arguments.picture) != bool(arguments.model):
        raise InputError("--picture and --model belong together: a file to write and the model that decodes")
    store = open_store(arguments.store, incomplete=True)
    found = verify(store, track=terminal.track) if arguments.verify else []
    if found:
        data = {"store": str(store.path), "sound": False, "damage": [dataclasses.asdict(d) for d in found]}
        terminal.result(data, "\n".join(map(str, found)))
        raise InputError(f"{store.path} is damaged in {len(found)} places, the first: {found[0]}")
    summaries = {split: summarise(store, split, track=terminal.track) for split in store.layouts}
    if arguments.picture:
        _write_picture(store, find_model(arguments.model), arguments.picture)
    if arguments.map:
        write_map(store, arguments.map)
    description = store.description
    data = {
        "store": str(store.path),
        "complete": store.complete,
        "sound": True if arguments.verify else None,
        "latent_space": description.latent_space,
        "modalities": list(description.modalities.names),
        "precision": description.precision,
        "packed": description.packed,
        "synthetic": description.synthetic,
        "s2_offset": description.s2_offset,
        "provenance": dict(description.provenance),
        "splits": {split: dataclasses.asdict(summary) for split, summary in summaries.items()},
    }
    terminal.result(data, _text(store, summaries, verified=arguments.verify))


def _write_picture(store, model: Path, path: str) -> None:
    from copgen_jax.checkpoints import load_config, load_hashes, load_model
    from copgen_jax.data.latents.pictures import decoded_patches
    from copgen_jax.data.latents.store import require_latent_space
    from copgen_jax.model import Model
    from copgen_jax.rasters.pictures.canvas import save_png

    latent_space = load_hashes(model).latent_space or "none"
    require_latent_space(store, latent_space, model=model)
    config, params = load_model(model, networks=tuple(load_config(model).autoencoders))
    tags = {"synthetic": str(store.description.synthetic).lower(), "latent_space": latent_space}
    sheet = decoded_patches(store, next(iter(store.layouts)), Model(config, params), latent_space=latent_space)
    save_png(path, sheet, tags)


def _text(store, summaries, *, verified: bool) -> str:
    description = store.description
    kind = "synthetic data" if description.synthetic else "data"
    lines = [
        f"{store.path}: latents of {kind} in {description.precision}, latent space {description.latent_space[:12]}, "
        f"Sentinel-2 offset {description.s2_offset}" + (", with packed twin" if description.packed else "")
    ]
    for split, summary in summaries.items():
        lines += ["", *_split(split, summary)]
    map_lines = _map(store)
    if map_lines:
        lines += ["", "patches on the world (a character is 5 degrees wide, 10 high):", *map_lines]
    if verified:
        lines += ["", "every checksum matches, no shard is missing, nothing is NaN"]
    return "\n".join(lines)


def _split(split: str, summary) -> list[str]:
    """The lines about one split: counts, then a table of modalities."""
    missing = f", {len(summary.missing_shards)} of them missing" if summary.missing_shards else ""
    lines = [
        f"{split}: {summary.patches:,} patches of {summary.cells:,} cells in {summary.shards} shards{missing}; "
        f"{summary.complete_patches:,} patches have every modality"
    ]
    if summary.bounding_box:
        south, west, north, east = summary.bounding_box
        lines.append(f"  latitude {south} to {north}, longitude {west} to {east}")
    if summary.dates:
        lines.append(f"  {summary.dates[0]} to {summary.dates[1]}")
    lines.append(f"  {'modality':12} {'patches':>9}   {'mean':26} log-variance")
    for name, count in summary.presence.items():
        line = f"  {name:12} {count:9,}"
        if name in summary.means:
            mean, log_variance = summary.means[name], summary.log_variances[name]
            line += f"   {_bars(mean.counts, 12)} {mean.mean:5.2f} ± {mean.standard_deviation:4.2f} "
            line += f"  {_bars(log_variance.counts, 12)} {log_variance.mean:6.2f}"
        lines.append(line.rstrip())
    return lines


def _bars(counts, width: int) -> str:
    """A histogram as characters of different weight."""
    groups = [sum(counts[i * len(counts) // width : (i + 1) * len(counts) // width]) for i in range(width)]
    most = max(groups) or 1
    return "[" + "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in groups) + "]"


def _map(store) -> list[str]:
    """A coarse world map of all splits, or nothing where no place is known."""
    import numpy as np

    from copgen_jax.data.latents import read_coordinates
    from copgen_jax.data.latents.summary import places

    counts = np.sum([places(read_coordinates(store, split), rows=18, columns=72) for split in store.layouts], axis=0)
    if not counts.any():
        return []
    levels = np.ceil(np.log1p(counts) / np.log1p(counts.max()) * (len(BARS) - 1)).astype(int)
    return ["|" + "".join(BARS[level] for level in row) + "|" for row in levels]

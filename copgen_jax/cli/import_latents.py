"""`copgen import-latents LMDB --model MODEL --out STORE`: the original's moments as a latent store."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", metavar="LMDB", help="LMDB folder, or a folder of them by split or published key")
    parser.add_argument("--model", required=True, help='model directory whose autoencoders made the moments, or "demo"')
    parser.add_argument("--out", required=True, metavar="STORE", help="latent store to write")
    parser.add_argument("--split", default="train", help="name of the split where the folders name none")
    parser.add_argument("--precision", choices=("float16", "float32"), default="float16")
    parser.add_argument("--packed", action="store_true", help="add the packed twin: faster training, twice the bytes")
    parser.add_argument("--resume", action="store_true", help="continue an import that was interrupted")
    parser.add_argument("--overwrite", action="store_true", help="replace a latent store")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Import and say what came of it.

    Raises:
        InputError: see `copgen_jax.data.published_latents.import_latents`; a model without autoencoders.
    """
    from copgen_jax.checkpoints import find_model, latents_of_each, load_config, load_hashes
    from copgen_jax.data.latents import Description, patches_per_cell
    from copgen_jax.data.published_latents import import_latents
    from copgen_jax.errors import InputError

    model = find_model(arguments.model)
    config, hashes = load_config(model), load_hashes(model)
    if hashes.latent_space is None:
        raise InputError(f"{model} has no autoencoders, so it does not say whose latents these are")
    description = Description(
        modalities=config.modalities,
        latent_space=hashes.latent_space,
        latents_of_each=latents_of_each(config, hashes),
        patches_per_cell=patches_per_cell(config.modalities),
        s2_offset=config.s2_offset,
        precision=arguments.precision,
        packed=arguments.packed,
        provenance={"imported_from": "LMDB of moments of the original program"},
    )
    imported = import_latents(
        arguments.source,
        arguments.out,
        description,
        split=arguments.split,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        track=terminal.track,
    )
    data = {
        "store": arguments.out,
        "patches": dict(imported.patches),
        "other_keys": imported.other_keys,
        "unknown_modalities": list(imported.unknown),
    }
    counts = ", ".join(f"{count:,} patches in {split}" for split, count in imported.patches.items())
    lines = [f"wrote {arguments.out}: {counts}"]
    if imported.unknown:
        lines.append(f"left out, because the model does not have them: {', '.join(imported.unknown)}")
    if imported.other_keys:
        lines.append(f"left out: {imported.other_keys} entries whose keys are no patches")
    terminal.result(data, "\n".join(lines))

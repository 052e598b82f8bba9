"""`copgen demo`: the main job on an embedded example."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.description = (
        "Show what any-to-any generation is: many radar and optical images of one place from its height, land cover "
        "and a date, their spread, and how it narrows. This version ships no trained model: the draws are the "
        "synthetic world's own exact conditionals, and every file says so."
    )
    add = parser.add_argument
    add("--out", metavar="DIR", default="copgen-demo", help="directory to write to (default copgen-demo)")
    add("--members", type=int, default=8, metavar="N", help="draws per season (default 8)")
    add("--place", type=int, default=29, metavar="N", help="number of the place (default 29)")
    add("--seed", type=int, default=0, metavar="N", help="of the synthetic world (default 0)")
    add("--overwrite", action="store_true", help="replace an earlier demo")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Write the demo and say where it is."""
    from copgen_jax.generate.demo import DRAWN_BY, write_demo

    terminal.say(f"No trained model ships with this version: drawn by {DRAWN_BY}.")
    record = write_demo(
        arguments.out,
        place=arguments.place,
        members=arguments.members,
        seed=arguments.seed,
        overwrite=arguments.overwrite,
        track=terminal.track,
    )
    terminal.say("Spread of the 10 m reflectances over draws, as conditions are added:")
    for name, value in record["narrowing"].items():
        terminal.say(f"  {name:24s} {value:.4f}")
    terminal.result(record, f"Open {record['page']} in a browser.")

"""`copgen demo`: the main job on an embedded example."""

import argparse
import datetime

from copgen_jax.errors import InputError

DESCRIPTION = """\
Show what any-to-any generation is: many radar and optical images of one place of a synthetic world from its height,
land cover and a date, in two seasons, their spread, how it narrows as more is given, and the way back from an image to
land cover and height. The small model that comes with the package draws, and beside it the world's simulator, which
knows its own conditionals: what a perfect model would draw. Every file says who drew it.
"""
SIMULATOR = "simulator"
"""In place of a model: the simulator alone draws, forward only."""
PLACE = 217
"""Of the synthetic world, held out from all training: forest and rangeland on a shore."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.description = DESCRIPTION
    add = parser.add_argument
    add("--out", metavar="DIR", default="copgen-demo", help="directory to write to (default copgen-demo)")
    add(
        "--model",
        metavar="MODEL",
        default="demo",
        help="model directory of the twelve modalities, or simulator for draws of the simulator alone (default: the "
        "packaged one)",
    )
    add("--dates", nargs="+", metavar="YYYY-MM-DD", help="seasons to show (default: a day of January and of July 2023)")
    add("--members", type=int, default=8, metavar="N", help="draws per season (default 8)")
    add("--place", type=int, default=PLACE, metavar="N", help="number of the place (default: one that no training saw)")
    add("--seed", type=int, default=0, metavar="N", help="of the synthetic world and of the draws (default 0)")
    add("--overwrite", action="store_true", help="replace an earlier demo")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Write the demo and say where it is."""
    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.data.world import World
    from copgen_jax.generate import load
    from copgen_jax.generate.demo import write_demo
    from copgen_jax.generate.drawers import ModelDrawer, Simulator

    keep_compilations()
    if arguments.model != SIMULATOR:
        model = ModelDrawer(generator=load(arguments.model, track=terminal.track), seed=arguments.seed)
        world = World(arguments.seed, model.modalities)
        terminal.say(f"Drawn by {model.name}, beside the simulator.")
    else:
        model, world = None, World(arguments.seed)
        terminal.say(f"Drawn by {Simulator.name}.")
    record = write_demo(
        arguments.out,
        world=world,
        model=model,
        place=arguments.place,
        members=arguments.members,
        overwrite=arguments.overwrite,
        seasons=_seasons(arguments.dates),
        track=terminal.track,
    )
    terminal.say("Spread of the 10 m reflectances over draws, as conditions are added:")
    for who, spreads in record["narrowing"].items():
        for name, value in spreads.items():
            terminal.say(f"  {name:16s} {value:.4f}  {who}")
    terminal.result(record, f"Open {record['page']} in a browser.")


def _seasons(dates: list[str] | None) -> dict[str, str]:
    """A folder for each date, named like it."""
    from copgen_jax.generate.demo import SEASONS

    seasons = {}
    for date in dates or ():
        try:
            day = datetime.date.fromisoformat(date).isoformat()
        except ValueError as error:
            raise InputError(f"--dates has {date!r}; expected days such as 2023-07-15") from error
        seasons[day] = day
    return seasons or SEASONS

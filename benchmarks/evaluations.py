"""How few evaluations of which solver draw what very many draw, on a trained model and the synthetic world.

The same members, from the same noise, are drawn with every solver and number of evaluations. The distance of each from
its own long drawing says how far it is from the end of its trajectory; CRPS and MMD say whether the distribution is as
close to the simulator's.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks import Result
from copgen_jax.data.world.world import Patch
from copgen_jax.evaluation.metrics.distribution import mmd2, pool_spectra
from copgen_jax.evaluation.metrics.ensemble import fair_crps
from copgen_jax.evaluation.scenes import WorldBench
from copgen_jax.generate import load
from copgen_jax.generate.drawers import ModelDrawer, Simulator

GIVEN, WANTED = ("location", "DEM", "LULC", "timestamp"), "S2L2A_10m"
SETTINGS = {"unipc": (6, 8, 10, 15, 20, 30), "published": (10, 20, 50), "dpmpp_2m": (20,), "ddim": (50,)}
LONG = ("unipc", 1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--model", help="model directory (default: demo)")
    parser.add_argument("--cells", type=int, metavar="N", help="held-out places (default 6)")
    parser.add_argument("--members", type=int, metavar="N", help="members of each (default 6)")


def run(quick: bool, model: str | None = None, cells: int | None = None, members: int | None = None) -> Result:
    """Draw the same members with every setting."""
    generator = load(model or "demo")
    cells, members = cells or (1 if quick else 6), members or (2 if quick else 6)
    long = (LONG[0], 8) if quick else LONG
    bench = WorldBench(0, generator.modalities, cells)
    patches = [next(bench.world.acquisitions(bench.static(name), 1)) for name in bench.names]
    simulated = _drawn(Simulator(world=bench.world), patches, members + 1)
    truth, simulated = simulated[:, -1], simulated[:, :-1]
    every = [(solver, n) for solver, counts in SETTINGS.items() for n in counts]
    found = {
        (solver, n): _drawn(ModelDrawer(generator=generator, seed=0, solver=solver, evaluations=n), patches, members)
        for solver, n in [long, *(every[:1] if quick else every)]
    }
    rows = [
        {
            "solver": solver,
            "evaluations": n,
            "distance": float(np.sqrt(np.mean((images - found[long]) ** 2)) / found[long].std(axis=1).mean()),
            **_scores(images, truth, simulated),
        }
        for (solver, n), images in found.items()
    ]
    rows.append({"solver": "simulator", "evaluations": None, "distance": None, **_scores(simulated, truth, None)})
    notes = [
        f"{cells} held-out places, {members} members, given {', '.join(GIVEN)}; {WANTED}. distance: root mean square "
        f"from the same members drawn with {long[1]} evaluations, over the spread of those. CRPS: fair, against one "
        "acquisition of each place, in reflectance; a perfect model has the simulator's. MMD: squared and unbiased, of "
        "the members' band means, all places together, against the simulator's; it may be negative.",
    ]
    return Result(title="Evaluations of the network that a sample needs", rows=rows, notes=notes)


def _drawn(drawer: ModelDrawer | Simulator, patches: Sequence[Patch], members: int) -> np.ndarray:
    """(place, member, band, y, x)"""
    draws = [drawer.draw(patch, GIVEN, (WANTED,), members) for patch in patches]
    return np.stack([np.concatenate([samples[WANTED].values for samples in draw]) for draw in draws])


def _scores(images: np.ndarray, truth: np.ndarray, simulated: np.ndarray | None) -> dict[str, float | None]:
    score = np.mean([fair_crps(own, single).mean() for own, single in zip(images, truth, strict=True)])
    spectra = [pool_spectra(one.reshape(-1, *one.shape[2:])) for one in (images, simulated) if one is not None]
    return {"CRPS": float(score), "MMD": mmd2(spectra[1], spectra[0]) if len(spectra) > 1 else None}

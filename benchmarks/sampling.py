"""Sampling: latents from noise beside PyTorch in turns, and the whole way from given rasters to written ones by parts.

The whole way is measured as users run it (`write_places`: read, encode, draw, decode, write COGs, statistics and
pictures); what network, solver and decoders take of it is measured apart, and the rest is what is left.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Result
from benchmarks.backbone import beside_torch, timing
from benchmarks.contest import Work, contest
from benchmarks.machine import original_setting
from copgen_jax.config import PRESETS, preset

GIVEN = ("DEM", "LULC")
"""What the whole way is conditioned on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=list(PRESETS), nargs="+", help="default: demo, and base at batch 1")
    parser.add_argument("--batch", type=int, nargs="+", help="samples at a time")
    parser.add_argument("--evaluations", type=int, default=10)
    parser.add_argument("--rounds", type=int, help="repetitions of each contestant")


def run(
    quick: bool,
    size: list[str] | None = None,
    batch: list[int] | None = None,
    evaluations: int = 10,
    rounds: int | None = None,
) -> Result:
    """Contests first, then the whole way."""
    rows = []
    for name in size or (["tiny"] if quick else ["demo", "base"]):
        for count in batch or ([1] if quick or name == "base" else [1, 8]):
            few = 2 if name == "base" else 5
            rows += _beside_torch(name, count, evaluations, rounds or few, quick)
        if name != "base":
            rows.append(_whole_way(name, (batch or [4])[-1], evaluations))
    return Result(
        title=f"Sampling with {evaluations} evaluations: seconds per sample",
        rows=rows,
        notes=[
            "Latents of all modalities from noise, by the published solver; least of warm repetitions in turns. "
            "PyTorch's sampler uses the same table of coefficients.",
            f"'whole way': from given {' and '.join(GIVEN)} to written COGs, statistics and pictures of all others, "
            "warm; sampling, network and decoders measured apart: the solver is a difference of two measurements, the "
            "rest is reading, encoding, units and writing.",
        ],
    )


def _row(size: str, batch: int, evaluations: int, contestant: str, **columns: Any) -> dict[str, Any]:
    empty = ("s per sample", "s least", "s median", "spread", "CPU s", "s first", "peak MB", "rounds")
    parts = ("network", "solver", "decoders", "rest")
    beside = ("times PyTorch original", "times PyTorch, same type", "times fastest PyTorch")
    return {
        "size": size,
        "batch": batch,
        "evaluations": evaluations,
        "contestant": contestant,
        **dict.fromkeys((*empty, *parts, *beside)),
        **columns,
    }


def _beside_torch(size: str, batch: int, evaluations: int, rounds: int, quick: bool) -> list[dict[str, Any]]:
    options = {"evaluations": evaluations}
    settings = [("jax", "float32"), ("torch", original_setting())]
    if not quick:
        settings += [("jax", "bfloat16"), ("torch", "float32"), ("torch", "bfloat16")]
    contestants = {
        f"{'JAX' if side == 'jax' else 'PyTorch'} {setting}": Work(
            side=side,  # pyright: ignore[reportArgumentType]
            task="sample",
            size=size,
            batch=batch,
            setting=setting,
            options=options,
        )
        for side, setting in settings
    }
    found = contest(contestants, rounds=rounds, seconds=60.0)
    return [
        _row(
            size,
            batch,
            evaluations,
            name,
            **timing(measured),
            **{"s per sample": measured.least / batch},
            **beside_torch(contestants, found, name),
        )
        for name, measured in found.items()
    ]


def _whole_way(size: str, members: int, evaluations: int) -> dict[str, Any]:
    from benchmarks.ours import autoencoder_params, backbone_params
    from copgen_jax.checkpoints import save_model
    from copgen_jax.generate.generator import load
    from copgen_jax.generate.request import Request
    from copgen_jax.generate.writing import write_places
    from copgen_jax.rasters.given.reading import read_given

    config = preset(size)
    wanted = [m.name for m in config.modalities if m.product not in GIVEN]
    units = {"LULC": "index"} if "LULC" in config.modalities.names else None
    given = {m.product: _flat(m.image_shape[0]) for m in config.modalities.images if m.product in GIVEN}
    with tempfile.TemporaryDirectory(prefix="copgen-sampling-") as folder:
        autoencoders = {name: autoencoder_params(config, name) for name in config.autoencoders}
        params = {"backbone": backbone_params(config), "autoencoders": autoencoders}
        save_model(Path(folder) / "model", config, params)
        generator = load(Path(folder) / "model")
        request = Request(want=tuple(wanted), members=members, evaluations=evaluations).settled(config)
        seconds = []
        for turn in range(3):
            begun = time.perf_counter()
            places = read_given(given, config.modalities, name="here", units=units)
            write_places(
                generator, [("here", places)], request, Path(folder) / str(turn), inputs={}, batch_size=members
            )
            seconds.append(time.perf_counter() - begun)
    parts = _parts(size, members, evaluations, [name for name in wanted if config.modalities[name].is_image])
    total = min(seconds[1:])
    return _row(
        size,
        members,
        evaluations,
        "JAX float32, whole way",
        **{"s per sample": total / members, "s first": seconds[0], "s least": total, "rounds": len(seconds) - 1},
        **parts,
        rest=total - sum(parts.values()),
    )


def _parts(size: str, batch: int, evaluations: int, decoded: list[str]) -> dict[str, float]:
    """Seconds of a batch in the network, in the rest of the sampler, and in the decoders."""
    common: Any = {"side": "jax", "size": size, "batch": batch}
    found = contest(
        {
            "forward": Work(task="forward", **common),
            "sample": Work(task="sample", options={"evaluations": evaluations}, **common),
            "decode": Work(task="decode", options={"modalities": decoded}, **common),
        },
        rounds=5,
    )
    network = evaluations * found["forward"].least
    return {
        "network": network,
        "solver": found["sample"].least - network,
        "decoders": found["decode"].least,
    }


def _flat(side: int) -> np.ndarray:
    """A height of one metre, or trees: what is given has no influence on speed."""
    return np.ones((side, side), np.float32)

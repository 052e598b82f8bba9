"""A run on disk: the outputs of many places, and `run.json`, which says how to draw them again."""

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from copgen_jax.errors import InputError
from copgen_jax.files import file_aside
from copgen_jax.generate.generator import Generator, Work
from copgen_jax.generate.request import Request
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.given.reading import GivenPlace, GivenPlaces
from copgen_jax.rasters.outputs.layout import place_name
from copgen_jax.rasters.outputs.write import OutputOptions, Outputs, open_outputs
from copgen_jax.rasters.samples import Samples
from copgen_jax.version import program_version

RUN_FILE = "run.json"


def write_places(
    generator: Generator,
    places: Sequence[tuple[str | None, GivenPlaces]],
    request: Request,
    out: str | Path,
    *,
    inputs: Mapping[str, Any],
    options: OutputOptions | None = None,
    batch_size: int | str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    track: Track = silently,
) -> dict[str, Any]:
    """Draw and write the members of every patch of every place. Returns what `run.json` says.

    Args:
        generator: the loaded model.
        places: names (None: from the ground) and what is given there.
        request: settled.
        out: the run's directory; a folder per patch.
        inputs: plain data from which the same inputs can be read again, for `run.json`.
        options: what is written.
        batch_size: as in `Generator.stream`.
        overwrite: replace earlier outputs of these places.
        resume: draw only members that earlier runs left out.
        track: told about batches.

    Raises:
        InputError: an output exists, was drawn otherwise, or cannot be written.
    """
    options = options or OutputOptions()
    out = Path(out)
    names = folder_names(places)
    _refuse_strangers(out, names, overwrite=overwrite, resume=resume)
    started = time.time()

    def outputs_of(index: int, place: GivenPlace):
        return open_outputs(
            out,
            place=names[index],
            modalities=generator.modalities.subset(request.want),
            ground=place.ground,
            provenance=generator.provenance(request, place.values),
            options=options,
            given=generator.observed(place),
            overwrite=overwrite,
            resume=resume,
        )

    with _OpenPlaces() as opened:
        work = (
            Work(place=place, members=opened.missing(index, outputs_of(index, place), request.members))
            for index, place in enumerate(_patches(places))
        )
        total = len(names) * request.members
        for drawn in generator.stream(work, request, total=total, batch_size=batch_size, track=track):
            opened.write(drawn.index, drawn.samples, drawn.latents if options.latents else None)
        opened.conclude()
    record = _run_record(generator, request, inputs, options, names, places, time.time() - started)
    with file_aside(out / RUN_FILE) as aside:
        aside.write_text(json.dumps(record, indent=1, default=str) + "\n")
    return record


class _OpenPlaces:
    """Outputs of the places under way. A place is concluded when the work has moved past it, or has nothing to add.

    Files are written in a thread while the next samples are drawn: one thing at a time, so that at most two chunks of
    members are in memory. Its errors are raised by what is asked for next.
    """

    def __init__(self):
        self._opened: dict[int, tuple[contextlib.ExitStack, Outputs]] = {}
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "copgen-write")
        self._under_way: concurrent.futures.Future[None] | None = None

    def missing(self, index: int, outputs: contextlib.AbstractContextManager[Outputs], members: int) -> list[int]:
        """Open the outputs of a place and say which of its members are to be drawn."""
        stack = contextlib.ExitStack()
        opened = stack.enter_context(outputs)
        missing = sorted(set(range(members)) - opened.complete)
        if missing:
            self._opened[index] = stack, opened
        else:
            stack.close()
        return missing

    def write(self, index: int, samples: Samples, latents: Mapping[str, Any] | None) -> None:
        """Write a chunk of members of an open place; the places before it are concluded."""
        self._conclude_before(index)
        self._finish()
        self._under_way = self._thread.submit(self._opened[index][1].write, samples, latents)

    def conclude(self) -> None:
        """Conclude all places, and wait until that is done."""
        self._conclude_before(math.inf)
        self._finish()

    def _conclude_before(self, index: float) -> None:
        for done in sorted(i for i in self._opened if i < index):
            self._finish()
            stack, _ = self._opened.pop(done)
            self._under_way = self._thread.submit(stack.close)

    def _finish(self) -> None:
        if self._under_way:
            self._under_way.result()

    def __enter__(self) -> "_OpenPlaces":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._thread.shutdown()
        # An error goes to every place that is still open, so that none takes itself for complete.
        for stack, _ in self._opened.values():
            stack.__exit__(kind, error, traceback)


def folder_names(places: Sequence[tuple[str | None, GivenPlaces]]) -> list[str]:
    """One folder per patch: the place's name, with _patch_<n> where it has several, or its ground.

    Raises:
        InputError: two patches would share a folder.
    """
    names: list[str] = []
    for name, patches in places:
        for i, ground in enumerate(patches.grounds):
            many = f"_patch_{i}" if len(patches) > 1 else ""
            names.append(f"{name}{many}" if name else place_name(ground) + (many if ground is None else ""))
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise InputError(f"two places would be written to {twice[0]}; give every place a name of its own")
    return names


def _patches(places: Sequence[tuple[str | None, GivenPlaces]]) -> Iterator[GivenPlace]:
    for _, patches in places:
        yield from patches


def _refuse_strangers(out: Path, names: Sequence[str], *, overwrite: bool, resume: bool) -> None:
    """Say at once, before anything is drawn, that an output is in the way."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a directory to write to")
    if overwrite or resume:
        return
    for name in names:
        if (out / name).exists():
            raise InputError(f"{out / name} exists already; choose another place, or pass --overwrite or --resume")


def _run_record(
    generator: Generator,
    request: Request,
    inputs: Mapping[str, Any],
    options: OutputOptions,
    names: Sequence[str],
    places: Sequence[tuple[str | None, GivenPlaces]],
    seconds: float,
) -> dict[str, Any]:
    """Data only: nothing in it is executed when it is read back."""
    flat = [(patches, i) for _, patches in places for i in range(len(patches))]
    return {
        "format_version": 1,
        "program": f"copgen_jax {program_version()}",
        "jax": jax.__version__,
        "device": str(jax.local_devices()[0].device_kind),
        "model": {
            "source": generator.source,
            "backbone": generator.hashes.backbone,
            "latent_space": generator.hashes.latent_space,
            "dtype": generator.model.dtype,
        },
        "request": dataclasses.asdict(request),
        "outputs": dataclasses.asdict(options),
        "inputs": dict(inputs),
        "places": [
            {
                "folder": name,
                "place_id": patches.place_ids[i],
                "window": list(patches.windows[i]),
                "given": list(patches.given),
                "s2_offsets": dict(patches.offsets),
                "notes": list(patches.notes),
            }
            for name, (patches, i) in zip(names, flat, strict=True)
        ],
        "seconds": round(seconds, 3),
    }

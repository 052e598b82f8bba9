"""`copgen demo`: what stochastic any-to-any generation is, on one place of the synthetic world.

forward     height, land cover, place and a date -> radar and optical images, in two seasons
reverse     optical images -> land cover and height, with the error against the truth
narrowing   the spread of the optical images as more is given

A model draws, and beside it the simulator wherever it knows its own conditional exactly. Without a model the simulator
draws alone, and what it cannot draw is left out. Everything is written by the code that writes what users generate.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.data.world import World
from copgen_jax.data.world.world import Patch
from copgen_jax.errors import InputError
from copgen_jax.files import file_aside
from copgen_jax.generate.demo_page import demo_page
from copgen_jax.generate.drawers import Drawer, ModelDrawer, Simulator, as_samples
from copgen_jax.modalities import Modality
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.outputs.statistics import image_statistics
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs
from copgen_jax.rasters.pictures.canvas import save_png
from copgen_jax.rasters.pictures.quicklook import Row, contact_sheet
from copgen_jax.rasters.samples import Samples, concatenate

PAGE = "index.html"
WANTED = ("S1RTC", "S2L2A")
SEASONS = {"january": "2023-01-15", "july": "2023-07-15"}
"""Folder and date of each season, unless others are asked for."""
FORWARD = ("location", "DEM", "LULC", "timestamp")
REVERSE_GIVEN, REVERSE_WANTED = ("S2L2A",), ("DEM", "LULC")
REVERSE = "reverse"
NARROWING = {
    "nothing given": (),
    "place": ("location",),
    "+ height": ("location", "DEM"),
    "+ land cover": ("location", "DEM", "LULC"),
    "+ date": ("location", "DEM", "LULC", "timestamp"),
    "+ clouds": ("location", "DEM", "LULC", "timestamp", "cloud_mask"),
}
MEASURED = "S2L2A_10m"
"""Whose spread is measured as it narrows."""
COMPARED = ("S2L2A_10m", "S1RTC")
"""What the sheets of the seasons show of everybody who drew."""


def write_demo(
    out: str | Path,
    *,
    world: World,
    model: ModelDrawer | None,
    place: int,
    members: int,
    overwrite: bool,
    seasons: Mapping[str, str] = SEASONS,
    track: Track = silently,
) -> dict[str, Any]:
    """Write the demo's rasters, stores and pictures and OUT/index.html. Returns what was written and measured.

    Args:
        out: the directory.
        world: where the place lies, on the model's grids.
        model: what draws, beside the world's simulator; None for the simulator alone.
        place: number of the place in that world.
        members: draws per condition.
        overwrite: replace an earlier demo.
        seasons: {folder: YYYY-MM-DD}.
        track: told about draws.

    Raises:
        InputError: the directory holds something, fewer than two members, or the disk is full.
    """
    if members < 2:
        raise InputError(f"{members} members are asked for; the demo shows a spread, so two or more")
    out = Path(out)
    if (out / PAGE).exists() and not overwrite:
        raise InputError(f"{out} exists already; choose another place, or pass --overwrite")
    simulator = Simulator(world=world)
    drawers: dict[str, Drawer] = {"": simulator} if model is None else {"": model, "-simulator": simulator}
    drawer = drawers[""]
    truth = world.patch(place)
    demo = _Demo(out=out, members=members, overwrite=overwrite, track=track)
    for season, date in seasons.items():
        held = dataclasses.replace(truth, values={**truth.values, "timestamp": np.datetime64(date, "D")})
        drawn = [(who, demo.write(season + suffix, who, held, FORWARD, WANTED)) for suffix, who in drawers.items()]
        demo.compare(season, f"{season}: one place, many images", drawn, held, FORWARD, COMPARED)
    errors = demo.reverse(drawer, truth) if drawer.can(REVERSE_GIVEN) else None
    narrowing = {who.name: demo.narrowing(who, truth) for who in drawers.values()}
    page = demo_page(
        drawn_by=drawer.name,
        truth=truth,
        seed=world.seed,
        members=members,
        seasons=seasons,
        has_model=model is not None,
        errors=errors,
        narrowing=narrowing,
    )
    with file_aside(out / PAGE) as aside:
        aside.write_text(page, encoding="utf-8")
    return {
        "out": str(out),
        "page": str(out / PAGE),
        "cell": truth.cell,
        "place": [float(degrees) for degrees in truth["location"]],
        "drawn_by": drawer.name,
        "reverse": errors,
        "narrowing": narrowing,
    }


def reverse_errors(drawn: Samples, truth: Patch) -> dict[str, float]:
    """How far drawn land cover and height are from the truth, on average over members.

    `height_rmse` in metres; `relief_rmse` likewise after each member's mean offset is taken away, because reflectance
    says little about height above the sea; `flat_rmse` is that of a plane at the true mean height. `class_error` is the
    share of pixels with another class, `majority_class_error` that of calling everything the most frequent class.
    """
    height, codes = truth["DEM"][..., 0].astype(np.float64), truth["LULC"][..., 0]
    heights = drawn["DEM"].values[:, 0].astype(np.float64)
    classes = drawn["LULC"].values[:, 0]
    difference = heights - height
    relief = difference - difference.mean((1, 2), keepdims=True)
    return {
        "height_rmse": float(np.sqrt(np.square(difference).mean())),
        "relief_rmse": float(np.sqrt(np.square(relief).mean())),
        "flat_rmse": float(height.std()),
        "class_error": float((classes != codes).mean()),
        "majority_class_error": float(1.0 - np.unique(codes, return_counts=True)[1].max() / codes.size),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Demo:
    """How every part of the demo is written."""

    out: Path
    members: int
    overwrite: bool
    track: Track

    def write(self, folder: str, who: Drawer, truth: Patch, given: Sequence[str], want: Sequence[str]) -> Samples:
        """Draw and write the members of OUT/folder, and return them."""
        wanted = who.modalities.subset(want)
        observed = {"drawn_by": "the synthetic world", "conditions": []}
        drawn: list[Samples] = []
        with open_outputs(
            self.out,
            place=folder,
            modalities=wanted,
            ground=truth.ground,
            provenance=who.provenance(given),
            options=OutputOptions(zarr=True),
            given=as_samples(truth, who.modalities.subset(given), observed),
            overwrite=self.overwrite,
        ) as outputs:
            for samples in who.draw(truth, given, want, self.members, track=self.track):
                outputs.write(samples)
                drawn.append(samples)
        return concatenate(drawn)

    def reverse(self, who: Drawer, truth: Patch) -> dict[str, float]:
        """Draw and write the way back from images to maps; its errors (`reverse_errors`)."""
        drawn = self.write(REVERSE, who, truth, REVERSE_GIVEN, REVERSE_WANTED)
        known = as_samples(truth, who.modalities.subset(REVERSE_WANTED), {})
        heading = "reverse: from images to height and land cover"
        self.compare(REVERSE, heading, [(who, drawn)], truth, REVERSE_GIVEN, REVERSE_WANTED, known)
        return reverse_errors(drawn, truth)

    def compare(
        self,
        name: str,
        heading: str,
        drawn: Sequence[tuple[Drawer, Samples]],
        truth: Patch,
        given: Sequence[str],
        shown: Sequence[str],
        known: Samples | None = None,
    ) -> None:
        """Write OUT/name.png: what was given, what is known of the truth, and all members of everybody who drew."""
        modalities = drawn[0][0].modalities
        rows = [
            Row(
                modality=modalities[modality],
                members={member: samples.read(modality, member) for member in samples.members},
                statistics=image_statistics(samples, modalities[modality], quantiles=()),  # pyright: ignore
                drawn_by=f"drawn by {who.name.split(',')[0]}",
            )
            for modality in shown
            for who, samples in drawn
        ]
        notes = [f"Synthetic data, not an observation. Cell {truth.cell}. Given: {', '.join(given)}."]
        sheet = contact_sheet(
            rows,
            given=_images(as_samples(truth, modalities.subset(given), {})),
            truth=_images(known) if known else None,
            heading=heading,
            notes=notes,
        )
        save_png(self.out / f"{name}.png", sheet, {"synthetic": "true"})

    def narrowing(self, who: Drawer, truth: Patch) -> Mapping[str, float]:
        """Mean standard deviation over members of the measured reflectances, by what is given, if it can be."""
        found = {}
        for words, given in NARROWING.items():
            if who.can(given):
                drawn = who.draw(truth, given, (MEASURED,), self.members, track=self.track)
                values = np.concatenate([samples[MEASURED].values for samples in drawn])
                found[words] = float(np.nanmean(np.nanstd(values, axis=0)))
        return found


def _images(samples: Samples) -> dict[Modality, np.ndarray]:
    """The first member's images (band, y, x)."""
    return {m: samples.read(m.name, samples.members[0]) for m in samples.modalities.images}

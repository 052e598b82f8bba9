"""How the synthetic world compares with real tiles: a contact sheet and a table of statistics.

    python -m benchmarks.world --tiles TILES [--out DIR] [--draws 24]

The world is asked for acquisitions on the real tiles' own land cover, height, place and date, so that only what the
world invents differs. Statistics are of clear draws; each is set beside the real tile's, with the ratio of the two and
the 5 to 95 % range over draws. `python -m benchmarks world` measures speed.
"""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

from benchmarks import Result
from copgen_jax.data.world import OFFSET, Patch, Window, World
from copgen_jax.modalities import COPGEN, DEMO, LULC_CLASSES
from copgen_jax.rasters.ground import Ground

BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
TOP_BANDS = [*BANDS[:10], "B10", *BANDS[10:]]
HEADER = """# The synthetic world beside real tiles

Made by `python -m benchmarks.world --tiles TILES`. Real: one window of 192 px at 10 m of each tile, Sentinel-2 without
offset. World: mean, and 5 to 95 % range, of {draws} acquisitions drawn on the tile's own land cover, height, place and
date under a clear sky. (!) marks a ratio beyond a factor of two (correlations: and a difference above 0.15);
[world.md](world.md) explains those. Reflectance, power and correlation are plain numbers.

"""

LAGS = (10, 20, 50, 100, 200, 500)
TILES = {"433D_629L_3_1": ("2020-04-08", 1000), "38D_378R_2_3": ("2023-06-10", 0), "637U_59R_1_3": ("2017-10-30", 0)}
"""Date of the Sentinel-2 overpass (the land-cover file's tag) and DN of reflectance 0."""


@dataclasses.dataclass(frozen=True)
class View:
    """One real or simulated acquisition, every band on the 10 m grid."""

    ground: dict[str, np.ndarray]
    top: dict[str, np.ndarray]
    radar: np.ndarray
    """(H, W, 2) dB."""
    height: np.ndarray
    classes: np.ndarray


def read_tile(root: Path, name: str) -> tuple[Patch, View]:
    """A real tile's static part as a place of the world, and all of it as a view."""
    rasters = {m: _read(root / m / f"{name}.tif") for m in ("S2L2A", "S2L1C", "S1RTC", "DEM", "LULC")}
    with rasterio.open(root / "LULC" / f"{name}.tif") as source:
        ground = Ground(str(source.crs), source.transform.c, source.transform.f, 1920.0)
    date, offset = TILES[name]
    codes = np.asarray(list(LULC_CLASSES), np.uint8)
    classes = codes[rasters["LULC"][0].astype(int)]
    height = rasters["DEM"][0].reshape(64, 3, 64, 3).mean((1, 3)).astype(np.float32)
    values = {
        "location": np.asarray(ground.centre),
        "DEM": height[..., None],
        "LULC": classes[..., None],
        "timestamp": np.datetime64(date),
        "cloud_mask": np.zeros((192, 192, 1), np.uint8),
    }
    window = Window(name, ground, 0, 0, 192)
    place = Patch(cell=name, patch_index=0, window=window, ground=ground, values=values)
    view = View(
        ground={b: (v - offset) / 1e4 for b, v in zip(BANDS, rasters["S2L2A"], strict=True)},
        top={b: (v - offset) / 1e4 for b, v in zip(TOP_BANDS, rasters["S2L1C"], strict=True)},
        radar=np.moveaxis(rasters["S1RTC"], 0, -1),
        height=height,
        classes=classes,
    )
    return place, view


def view_of(patch: Patch) -> View:
    """A patch of the world with its bands repeated to 10 m."""

    def bands(product: str) -> dict[str, np.ndarray]:
        return {
            band: _repeat((patch[m.name][..., i].astype(np.float32) - OFFSET) / 1e4, 192)
            for m in COPGEN.of_product(product)
            for i, band in enumerate(m.bands)
        }

    return View(
        ground=bands("S2L2A"),
        top=bands("S2L1C"),
        radar=10 * np.log10(np.maximum(patch["S1RTC"], 1e-6)),
        height=patch["DEM"][..., 0],
        classes=patch["LULC"][..., 0],
    )


def statistics(view: View) -> dict[str, float]:
    """Named figures: per class (over 2 % of the tile) and band, radar, vegetation index, autocorrelation."""
    ndvi = (view.ground["B08"] - view.ground["B04"]) / np.maximum(view.ground["B08"] + view.ground["B04"], 0.01)
    figures = {}
    for code, name in LULC_CLASSES.items():
        inside = view.classes == code
        if inside.mean() < 0.02:
            continue
        for product, images in (("L2A", view.ground), ("L1C", view.top)):
            for band, image in images.items():
                figures[f"{name} | {product} {band}"] = float(image[inside].mean())
                if band in ("B04", "B08"):
                    figures[f"{name} | {product} {band} deviation"] = float(image[inside].std())
        figures[f"{name} | NDVI"] = float(ndvi[inside].mean())
        power = 10 ** (view.radar[inside] / 10)
        for i, band in enumerate(("VV", "VH")):
            figures[f"{name} | {band} power"] = float(power[:, i].mean())
            figures[f"{name} | {band} deviation, dB"] = float(view.radar[inside][:, i].std())
        figures[f"{name} | VV/VH"] = float(power[:, 0].mean() / power[:, 1].mean())
    layers = {"B04": view.ground["B04"], "B08": view.ground["B08"], "NDVI": ndvi}
    layers |= {"VV dB": view.radar[..., 0], "VH dB": view.radar[..., 1]}
    for name, layer in layers.items():
        for lag in LAGS:
            figures[f"autocorrelation {name} | {lag} m"] = autocorrelation(layer, lag // 10)
    return figures


def autocorrelation(image: np.ndarray, lag: int) -> float:
    """Correlation of pixels `lag` apart, mean of rows and columns."""
    pairs = ((image[lag:], image[:-lag]), (image[:, lag:], image[:, :-lag]))
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


def compare(root: Path, draws: int) -> list[dict[str, Any]]:
    """One row per tile and figure: real, the world's mean, ratio, 5 and 95 % of the draws."""
    rows = []
    for tile in TILES:
        place, real = read_tile(root, tile)
        truth = statistics(real)
        drawn = [statistics(view_of(p)) for p in World(0).acquisitions(place, draws, fixed=("timestamp", "cloud_mask"))]
        for name, value in truth.items():
            values = np.asarray([d[name] for d in drawn])
            low, high = np.quantile(values, (0.05, 0.95))
            mean = float(values.mean())
            rows.append(
                {
                    "tile": tile,
                    "figure": name,
                    "real": value,
                    "world": mean,
                    "ratio": mean / value if value else float("nan"),
                    "low": float(low),
                    "high": float(high),
                }
            )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The comparison as a table; figures outside a factor of two are marked."""
    lines = ["| tile | figure | real | world | 5 - 95 % | ratio |", "|---|---|---|---|---|---|"]
    for r in rows:
        mark = "" if within_two(r) else " (!)"
        lines.append(
            f"| {r['tile']} | {r['figure'].replace('|', ':')} | {r['real']:.3f} | {r['world']:.3f} "
            f"| {r['low']:.3f} - {r['high']:.3f} | {r['ratio']:.2f}{mark} |"
        )
    return "\n".join(lines) + "\n"


def within_two(row: dict[str, Any]) -> bool:
    """Within a factor of two, or (correlations near zero) within 0.15."""
    near = "autocorrelation" in row["figure"] and abs(row["real"] - row["world"]) < 0.15
    return near or 0.5 <= row["ratio"] <= 2.0


def sheet(views: list[list[View]]) -> Image.Image:
    """A row per list; each view as true colour, false colour, top of atmosphere, radar, hill shade, land cover."""
    return Image.fromarray(np.concatenate([np.concatenate([picture(v) for v in row], axis=1) for row in views]))


def picture(view: View) -> np.ndarray:
    """(192, 6 * 192, 3) uint8."""

    def colour(images: dict[str, np.ndarray], bands: str, top: float, gamma: float) -> np.ndarray:
        image = np.stack([images[b] for b in bands.split()], -1) / top
        return np.clip(image, 0, 1) ** (1 / gamma)

    vv, vh = view.radar[..., 0], view.radar[..., 1]
    radar = np.clip(np.stack([(vv + 22) / 22, (vh + 28) / 22, (vv - vh) / 20], -1), 0, 1)
    down, right = np.gradient(view.height, 30.0)
    shade = np.clip(0.7 + 1.2 * (0.7 * right + 0.7 * down), 0, 1)
    shade = np.repeat(_repeat(shade, 192)[..., None], 3, -1)
    palette = np.zeros((256, 3))
    for code, value in _COLOURS.items():
        palette[code] = np.asarray(value) / 255
    panels = [
        colour(view.ground, "B04 B03 B02", 0.25, 1.6),
        colour(view.ground, "B08 B04 B03", 0.45, 1.0),
        colour(view.top, "B04 B03 B02", 0.25, 1.6),
        radar,
        shade,
        palette[view.classes],
    ]
    return (np.concatenate(panels, axis=1) * 255).astype(np.uint8)


_COLOURS = {
    1: (26, 91, 171),
    2: (53, 130, 33),
    4: (135, 209, 158),
    5: (255, 219, 92),
    7: (237, 2, 42),
    8: (237, 233, 228),
    9: (242, 250, 255),
    10: (200, 200, 200),
    11: (239, 207, 100),
}


def run(quick: bool = False) -> Result:
    """Time of patches, redraws and addresses on one core."""
    count, rows = 5 if quick else 60, []
    for name, modalities in (("192 px", COPGEN), ("96 px", DEMO)):
        world = World(0, modalities)
        place = world.place(0)
        tasks = {
            "all modalities of a patch": lambda world=world: [world.patch(i) for i in range(count)],
            "location, height and land cover": lambda world=world: [world.place(i) for i in range(count)],
            "redraw at a place": lambda world=world, place=place: list(world.acquisitions(place, count)),
            "name of the cell only": lambda world=world: [world.address(i) for i in range(count)],
        }
        for what, task in tasks.items():
            task()
            start, wall = time.process_time(), time.perf_counter()
            task()
            cpu, wall = (1e3 * (now - then) / count for now, then in (
                (time.process_time(), start), (time.perf_counter(), wall)
            ))  # fmt: skip
            rows.append({"patch": name, "task": what, "CPU ms": cpu, "wall ms": wall})
    return Result(
        title="The synthetic world: time per patch on one core",
        rows=rows,
        notes=["CPU time counts all threads; wall time depends on what else runs on the machine."],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the synthetic world with real tiles.")
    parser.add_argument("--tiles", type=Path, required=True, help="directory of aligned real tiles")
    parser.add_argument("--out", type=Path, default=Path("world-comparison"))
    parser.add_argument("--draws", type=int, default=24)
    arguments = parser.parse_args()
    rows = compare(arguments.tiles, arguments.draws)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "world-statistics.md").write_text(HEADER.format(draws=arguments.draws) + markdown(rows))
    views = []
    for tile in TILES:
        place, real = read_tile(arguments.tiles, tile)
        again = World(0).acquisitions(place, 3, fixed=("timestamp", "cloud_mask"))
        views.append([real])
        views += [[view_of(p)] for p in again]
    sheet(views).save(arguments.out / "tiles.png")
    free = World(1)
    sheet([[view_of(free.patch(i))] for i in range(12)]).save(arguments.out / "world.jpg", quality=80)
    outside = [r for r in rows if not within_two(r)]
    print(f"{len(rows) - len(outside)} of {len(rows)} figures within a factor of two; outside:")
    for r in outside:
        print(f"  {r['tile']} {r['figure']}: real {r['real']:.3f}, world {r['world']:.3f}")


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(window=((0, 192), (0, 192))).astype(np.float32)


def _repeat(image: np.ndarray, pixels: int) -> np.ndarray:
    factor = pixels // image.shape[0]
    return image.repeat(factor, 0).repeat(factor, 1)


if __name__ == "__main__":
    main()

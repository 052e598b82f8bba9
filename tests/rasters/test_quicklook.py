import dataclasses

import numpy as np
import pytest
from drawn_samples import draw_samples
from PIL import Image

from copgen_jax.modalities import BETA, COPGEN, DEMO
from copgen_jax.rasters.outputs.statistics import image_statistics
from copgen_jax.rasters.pictures.canvas import enlarge, round_up, save_png, wrap
from copgen_jax.rasters.pictures.quicklook import PANEL, SIDE, Row, contact_sheet, image_quicklook, spread_quicklook
from copgen_jax.rasters.pictures.rendering import (
    GAMMA,
    HEAT,
    MISSING,
    composite,
    height_range,
    picture,
    ramp_colours,
    spread,
)

SHAPES = [(modality, (modality.pixels, modality.pixels, 3)) for modality in (*DEMO.images, *BETA.images)]


@pytest.mark.parametrize(("modality", "shape"), SHAPES, ids=lambda value: getattr(value, "name", ""))
def test_every_modality_has_a_picture(modality, shape):
    samples = draw_samples(BETA if modality.encoding == "colour" else DEMO, members=[0])
    colours = picture(samples.read(modality.name, 0), modality)
    assert colours.shape == shape
    assert colours.dtype == np.uint8


def flat(modality, values):
    """One colour (3,) of one value per band, everywhere."""
    values = np.broadcast_to(np.asarray(values, np.float32)[:, None, None], (len(values), 4, 4))
    return picture(values, modality)[0, 0]


def test_true_colour_shows_red_green_blue_between_fixed_values():
    ten = COPGEN["S2L2A_10m"]
    assert ten.bands == ("B04", "B03", "B02", "B08")
    np.testing.assert_array_equal(flat(ten, [0.3, 0.0, 0.0, 0.9]), [255, 0, 0])
    np.testing.assert_array_equal(flat(ten, [-0.1, 0.5, 0.0, 0.9]), [0, 255, 0])
    np.testing.assert_array_equal(flat(ten, [0.0, 0.0, 0.15, 0.9]), [0, 0, round(255 * 0.5 ** (1 / GAMMA))])


def test_radar_shows_decibels():
    radar = COPGEN["S1RTC"]
    assert radar.bands == ("VV", "VH")
    np.testing.assert_array_equal(flat(radar, [0.1, 10**-1.7]), [128, 128, 91])
    assert flat(radar, [0.0, 0.0])[0] == 0


def test_classes_show_the_usual_colours():
    cover = COPGEN["LULC"]
    np.testing.assert_array_equal(
        picture(np.asarray([[[1, 7, 3]]], np.uint8), cover)[0], [(65, 155, 223), (196, 40, 27), MISSING]
    )


def test_every_sentinel_grid_has_its_composite():
    names = {m.name: composite(m).bands for m in COPGEN if m.encoding == "reflectance"}
    assert names["S2L1C_60m"] == ("B10", "B09", "B01")
    assert names["S2L2A_60m"] == ("B09", "B01", "B01")
    assert names["S2L2A_20m"] == ("B12", "B8A", "B05")
    partial = dataclasses.replace(COPGEN["S2L2A_10m"], bands=("B08",))
    assert composite(partial).bands == ("B08", "B08", "B08")


def test_slopes_to_the_north_west_are_lit():
    x, y = np.meshgrid(np.arange(32.0), np.arange(32.0))
    towards = {
        "north-west": 30 * (x + y),
        "south-east": -30 * (x + y),
        "flat": np.full((32, 32), 100.0),
    }
    bright = {
        name: picture(height[None].astype(np.float32), DEMO["DEM"], heights=(-1e6, 1e6))[16, 16].mean()
        for name, height in towards.items()
    }
    assert bright["north-west"] > bright["flat"] > bright["south-east"]


def test_missing_values_are_grey():
    values = np.full((4, 8, 8), 0.1, np.float32)
    values[2, 3, 3] = np.nan
    colours = picture(values, COPGEN["S2L2A_10m"])
    np.testing.assert_array_equal(colours[3, 3], MISSING)
    assert not np.array_equal(colours[0, 0], MISSING)
    height = np.full((1, 32, 32), np.nan, np.float32)
    assert height_range(height) == (0.0, 10.0)
    np.testing.assert_array_equal(picture(height, DEMO["DEM"])[0, 0], MISSING)


def test_ramps_run_from_end_to_end_and_grow_brighter():
    colours = ramp_colours(np.linspace(-1, 2, 50), HEAT, 0.0, 1.0)
    np.testing.assert_array_equal(colours[0], HEAT[0])
    np.testing.assert_array_equal(colours[-1], HEAT[-1])
    assert (np.diff(colours.astype(int) @ [299, 587, 114]) >= 0).all()


def test_spread_is_zero_for_equal_members_and_grows_with_their_differences():
    samples = draw_samples(members=[0, 1, 2])
    for modality in DEMO.images:
        found, _ = spread(image_statistics(samples, modality), modality)
        assert found.shape == (modality.pixels, modality.pixels)
        assert (found >= 0).all()
        assert found.mean() > 0
        same = image_statistics(samples.select([0, 0]), modality)
        np.testing.assert_allclose(spread(same, modality)[0], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.011, 0.02), (0.02, 0.02), (3.0, 5.0), (70.0, 100.0), (0.0, 1.0), (float("nan"), 1.0)]
)
def test_ends_of_ramps_are_round_numbers(value, rounded):
    assert round_up(value) == pytest.approx(rounded)


def test_enlarged_pixels_stay_squares():
    colours = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    large = np.asarray(enlarge(colours, 96))
    np.testing.assert_array_equal(large, colours.repeat(6, 0).repeat(6, 1))
    assert enlarge(colours, 100).size == (100, 100)
    for modality in COPGEN.images:
        assert SIDE % modality.pixels == PANEL % modality.pixels == 0


def test_lines_break_at_spaces():
    assert " ".join(wrap("one two three four five six", 60, 12)) == "one two three four five six"
    assert len(wrap("one two three four five six", 60, 12)) > 1
    assert wrap("unbreakable", 5, 12) == ["unbreakable"]


def test_quicklooks_show_the_picture_and_are_all_of_one_width(tmp_path):
    samples = draw_samples(members=[0, 1])
    widths = set()
    for modality in DEMO.images:
        values = samples.read(modality.name, 0)
        image = image_quicklook(values, modality, caption="member 0", footer="synthetic " * 30)
        widths.add(image.width)
        expected = np.asarray(enlarge(picture(values, modality), SIDE))
        shown = np.asarray(image)
        corner = next(
            (y, x)
            for y in range(40, 70)
            for x in range(5, 20)
            if np.array_equal(shown[y : y + 8, x : x + 8], expected[:8, :8])
        )
        y, x = corner
        np.testing.assert_array_equal(shown[y : y + SIDE, x : x + SIDE], expected)
        widths.add(spread_quicklook(image_statistics(samples, modality), modality, footer="synthetic").width)
    assert len(widths) == 1
    save_png(tmp_path / "a.png", image, {"synthetic": "true", "conditions": '{"DEM": "Höhe.tif"}'})
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.text == {"synthetic": "true", "conditions": '{"DEM": "Höhe.tif"}'}


def test_sheet_has_room_for_every_panel():
    samples = draw_samples(members=[0, 1, 2])
    rows = [
        Row(
            modality=modality,
            members={member: samples.read(modality.name, member) for member in (0, 1, 2)},
            statistics=image_statistics(samples, modality),
        )
        for modality in DEMO.images
    ]
    given = {DEMO["DEM"]: samples.read("DEM", 0)}
    sheet = contact_sheet(rows, given=given, heading="somewhere", notes=["a note"])
    assert sheet.width > 5 * PANEL
    assert sheet.height > 11 * PANEL
    alone = contact_sheet(
        [dataclasses.replace(row, members={0: row.members[0]}, statistics={}) for row in rows],
        given={},
        heading="somewhere",
        notes=[],
    )
    assert alone.width < sheet.width - 2 * PANEL

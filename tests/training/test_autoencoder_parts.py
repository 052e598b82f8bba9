"""Schedule, average, draws, images and measurements of the autoencoders' training, each against its definition."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import QUICK_COMPILATION
from golden_vectors import load_json, present

from copgen_jax.cli.configuration import autoencoder_training
from copgen_jax.data.majortom import Observation, Split, cell_named
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO, ModalitySet
from copgen_jax.model import build_autoencoder
from copgen_jax.nn.discriminator import Discriminator
from copgen_jax.training import autoencoder_start
from copgen_jax.training.autoencoder_config import TRAININGS, AutoencoderOptimiser, AutoencoderTraining, LossConfig
from copgen_jax.training.autoencoder_data import DrawnImages, ImageBatches, StoredImages
from copgen_jax.training.autoencoder_measure import measure_latents, measure_reconstructions, padded
from copgen_jax.training.autoencoder_step import discriminator_factor, draw, ema_share, learning_rate

PUBLISHED = AutoencoderOptimiser()
CELLS = tuple(f"{number}U_{number}R" for number in range(400, 412))


@pytest.mark.parametrize("name", sorted(TRAININGS))
def test_presets_pass_through_the_command_line_unchanged(name):
    assert autoencoder_training(name, []) == TRAININGS[name]


@pytest.mark.parametrize(("file", "preset"), [("vae", "vae"), ("vae_small", "demo")])
def test_files_are_presets(file, preset):
    path = Path(__file__).parents[2] / "configs" / f"{file}.py"
    assert autoencoder_training(str(path), []) == TRAININGS[preset]
    words = ["--config.autoencoder.multipliers=(1,2,3,4)", "--config.modalities=DEM,S2L2A", "--config.modality=DEM"]
    found = autoencoder_training(str(path), words)
    assert found.autoencoder.multipliers == (1, 2, 3, 4)
    assert (found.modality, found.modalities) == ("DEM", ("DEM", "S2L2A"))


def test_published_learning_rate():
    rate = learning_rate(PUBLISHED)
    for k in (0, 1, 1000, 250_000, 400_000, 499_999, 500_000, 600_000):
        expected = 5e-6 * max(max(1 - k / 500_000, 0) ** 0.95, 0.2)
        np.testing.assert_allclose(rate(k), expected, rtol=1e-5)


def _middle(module, _):
    return module.name == "mid_block_2"


def test_averaging_start_sees_and_paints_block_means_only(monkeypatch):
    """With nothing kept of the draw: the encoder's middle depends on 8 x 8 means alone, and what comes out is flat."""
    monkeypatch.setattr(autoencoder_start, "DRAWN_SHARE", 0.0)
    model = AutoencoderTraining(**vars(TRAININGS["demo"]) | {"modality": "S2L2A_10m"}).model()
    autoencoder = build_autoencoder(model, "S2L2A_10m")
    images = jax.random.uniform(jax.random.key(1), (2, 16, 16, 4))
    blocks = images.reshape(2, 2, 8, 2, 8, 4)
    means = jnp.broadcast_to(blocks.mean((2, 4), keepdims=True), blocks.shape).reshape(images.shape)

    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: autoencoder.init(jax.random.key(0), images)["params"])
    drawn = jax.tree.map(lambda s: 0.1 * rng.standard_normal(s.shape, np.float32), shapes)
    start = jax.jit(autoencoder_start.averaging_start, compiler_options=QUICK_COMPILATION)
    params = start(drawn, jax.random.key(2))

    @functools.partial(jax.jit, compiler_options=QUICK_COMPILATION)
    def through(params, images):
        moments, seen = autoencoder.apply({"params": params}, images, method="encode", capture_intermediates=_middle)
        painted = autoencoder.apply({"params": params}, moments[..., :8], method="decode")
        return moments, painted, seen["intermediates"]["encoder"]["mid_block_2"]["__call__"][0]

    (moments, painted, middle), (_, _, of_means) = through(params, images), through(params, means)
    np.testing.assert_allclose(middle, of_means, atol=1e-5)
    assert np.asarray(middle).std() > 0.05
    np.testing.assert_allclose(moments[..., 8:].mean(), autoencoder_start.FIRST_LOG_VARIANCE, atol=0.5)
    painted = np.asarray(painted).reshape(blocks.shape)
    np.testing.assert_allclose(painted, np.broadcast_to(painted[:, :, :1, :, :1], painted.shape), atol=1e-4)


def test_published_average():
    """Every 10 calls: a copy up to 1000, then the ramp with e = calls so far, this one included, less 1001."""
    done = np.arange(0, 30_000)
    shares = np.asarray(jax.vmap(lambda k: ema_share(k, PUBLISHED))(jnp.asarray(done, jnp.int32)))
    for k in (*range(1200), 2000, 3821, 3830, 20_000, 29_990):
        if k % 10:
            expected = 1.0
        elif k <= 1000:
            expected = 0.0
        else:
            expected = min(0.995, 1 - (1 + (k + 1 - 1001)) ** (-2 / 3))
        np.testing.assert_allclose(shares[k], expected, rtol=1e-6, err_msg=str(k))
    assert shares[1010] < 0.8 < shares.max()


def test_discriminator_starts():
    steps = jnp.asarray([0, 50_000, 50_001, 60_000], jnp.int32)
    np.testing.assert_array_equal(discriminator_factor(steps, LossConfig()), [0, 0, 1, 1])


@pytest.mark.parametrize("table", present("vae/models.json"))
def test_published_sizes(table):
    for key, row in load_json(table).items():
        (modality,) = (m for m in COPGEN if m.published_key == key)
        training = AutoencoderTraining(modality=modality.name)
        image = jnp.zeros((1, *modality.image_shape))
        networks = {
            "params": build_autoencoder(training.model(), modality.name),
            "disc_params": Discriminator(width=training.discriminator.width),
        }
        for name, network in networks.items():
            shapes = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
            assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == row[name], (key, name)


def test_draw_mirrors_half_and_draws_afresh():
    vae = build_autoencoder(AutoencoderTraining(modality="DEM", pixels=96).model(), "DEM")
    images = np.random.default_rng(0).normal(size=(64, 16, 16, 1)).astype(np.float32)
    drawn, first, second = draw(vae, 3, jnp.asarray(5, jnp.int32), images)
    kept = np.asarray([np.array_equal(a, b) for a, b in zip(drawn, images, strict=True)])
    mirrored = np.asarray([np.array_equal(a, b[:, ::-1]) for a, b in zip(drawn, images, strict=True)])
    assert (kept ^ mirrored).all()
    assert 16 < kept.sum() < 48
    assert first.shape == second.shape == (64, 2, 2, 8)
    noises = [first, second, draw(vae, 3, jnp.asarray(6, jnp.int32), images)[1], draw(vae, 4, jnp.int32(5), images)[1]]
    correlation = np.corrcoef([np.ravel(noise) for noise in noises])
    assert np.abs(correlation - np.eye(4)).max() < 0.1
    np.testing.assert_array_equal(draw(vae, 3, jnp.asarray(5, jnp.int32), images)[1], first)


class Cells:
    """A source in memory: every pixel of a cell's heights is another number; one cell has none."""

    modalities = ModalitySet((COPGEN["DEM"],))
    issues = ()

    def __init__(self, names=CELLS, empty=CELLS[1]):
        self.names, self._empty, self.read_names = names, empty, []

    def read(self, name):
        self.read_names.append(name)
        heights = 1e6 * self.names.index(name) + np.arange(356 * 356, dtype=np.float64).reshape(356, 356, 1)
        rasters = {} if name == self._empty else {"DEM": heights}
        return Observation(
            name=name, cell=cell_named(name), ground=None, rasters=rasters, date=np.datetime64("NaT"), s2_offsets={}
        )


def stored(source, *, seed=0, test=CELLS[-2:]):
    split = Split(test_cells=frozenset(test))
    return StoredImages(source, COPGEN["DEM"], s2_offset=1000, split=split, seed=seed)


def corner(image):
    """Tells patches apart."""
    return float(image[0, 0, 0])


@pytest.mark.parametrize("held_bytes", [0, 4e9], ids=["by group", "all held"])
def test_an_epoch_has_every_patch_and_nothing_held_out(monkeypatch, held_bytes):
    monkeypatch.setattr("copgen_jax.training.autoencoder_data.HELD_BYTES", held_bytes)
    images = stored(Cells())
    assert images.epoch == 10 * 36
    epochs = [[corner(images.at(e * images.epoch + i)) for i in range(images.epoch)] for e in range(2)]
    for epoch in epochs:
        assert len(set(epoch)) == 9 * 36
    assert set(epochs[0]) == set(epochs[1])
    assert epochs[0] != epochs[1]
    held_out = {corner(image) for image in images.held_out(50)}
    assert len(held_out) == 50
    assert not held_out & set(epochs[0])
    assert [corner(stored(Cells(), seed=1).at(i)) for i in range(20)] != epochs[0][:20]


@pytest.mark.parametrize(("held_bytes", "times"), [(0, 2), (4e9, 1)], ids=["by group", "all held"])
def test_groups_are_read_once_an_epoch_and_what_is_held_once(monkeypatch, held_bytes, times):
    monkeypatch.setattr("copgen_jax.training.autoencoder_data.GROUP_PATCHES", 72)
    monkeypatch.setattr("copgen_jax.training.autoencoder_data.HELD_BYTES", held_bytes)
    source = Cells()
    images = stored(source)
    source.read_names.clear()
    found = {corner(images.at(i)) for i in range(2 * images.epoch)}
    assert sorted(source.read_names) == sorted(times * CELLS[:-2])
    assert len(found) == 9 * 36


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_a_batch(processes):
    whole = ImageBatches(stored(Cells()), batch_size=8)
    parts = [
        ImageBatches(stored(Cells()), batch_size=8, process=i, processes=processes)[3]["images"]
        for i in range(processes)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole[3]["images"])
    ahead = whole.from_step(2)
    for step in (2, 3, 4):
        np.testing.assert_array_equal(next(ahead)["images"], whole[step]["images"])


def test_places_for_both_sides():
    with pytest.raises(InputError, match="leaves none of the 12 places to test on"):
        stored(Cells(), test=["1U_1R"])
    with pytest.raises(InputError, match="none of the 1 places to train on has a patch of DEM"):
        stored(Cells(), test=[name for name in CELLS if name != CELLS[1]])


def test_drawn_images_keep_test_cells_apart():
    images = DrawnImages(0, DEMO["cloud_mask"], s2_offset=0, split=Split(test_share=0.5))
    first = [images.at(i) for i in range(6)]
    assert first[0].shape == DEMO["cloud_mask"].image_shape
    for i, image in enumerate(first):
        np.testing.assert_array_equal(image, images.at(i))
    sides = {side: [images._number(i, side) for i in range(40)] for side in ("train", "test")}
    for side, numbers in sides.items():
        assert {Split(test_share=0.5).of(images._world.address(n)[0]) for n in numbers} == {side}
        assert len(set(numbers)) == 40
    everything_tests = DrawnImages(0, DEMO["cloud_mask"], s2_offset=0, split=Split(test_share=1.0))
    with pytest.raises(InputError, match="choose a test share"):
        everything_tests.at(0)


def test_scale_factor_is_one_over_the_standard_deviation_of_samples():
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(0.3, 1.5, (6, 4, 4, 8)), rng.normal(-1.0, 1.0, (6, 4, 4, 8))
    log_variance[0, 0, 0, 0] = -80.0
    measure = measure_latents(np.concatenate([mean, log_variance], axis=-1))
    samples = mean + np.exp(log_variance / 2) * rng.normal(size=(4000, *mean.shape))
    np.testing.assert_allclose(measure.scale_factor, 1 / samples.std(), rtol=2e-3)
    np.testing.assert_allclose(measure.mean, samples.mean(), rtol=5e-3)


def test_errors_in_physical_units():
    rng = np.random.default_rng(1)
    for name, unit, per_network_unit in (("S2L2A_60m", "reflectance", 0.5), ("S1RTC", "dB", 96.013 / 2)):
        modality = DEMO[name]
        images = rng.uniform(-0.4, 0.4, (2, *modality.image_shape)).astype(np.float32)
        shifts = np.linspace(0.01, 0.05, modality.channels, dtype=np.float32)
        found = measure_reconstructions(modality, images, images + shifts)
        assert found["unit"] == unit
        for band, shift in zip(modality.bands, shifts, strict=True):
            np.testing.assert_allclose(found["rmse"][band]["autoencoder"], shift * per_network_unit, rtol=1e-3)
            # Independent uniform pixels: a mean of 64 leaves 63/64 of the variance 0.8^2 / 12.
            expected = np.sqrt(0.64 / 12 * 63 / 64) * per_network_unit
            np.testing.assert_allclose(found["rmse"][band]["block_mean"], expected, rtol=0.1)


def test_heights_in_metres():
    modality = DEMO["DEM"]
    heights = np.full((1, 32, 32, 1), 500.0)
    heights[:, ::2] = 700.0
    network = (2 * (np.log1p(heights) - 6e-6) / (9.088 - 6e-6) - 1).astype(np.float32)
    other = (2 * (np.log1p(heights + 25) - 6e-6) / (9.088 - 6e-6) - 1).astype(np.float32)
    found = measure_reconstructions(modality, network, other)
    np.testing.assert_allclose(found["rmse"]["DEM"]["autoencoder"], 25, rtol=1e-2)
    np.testing.assert_allclose(found["rmse"]["DEM"]["block_mean"], 100, rtol=1e-3)


def test_accuracy_of_classes():
    modality = DEMO["cloud_mask"]
    truth = np.zeros((1, 96, 96), int)
    truth[:, :, 4:8] = 2  # half of the first column of blocks, a tie that the lower class wins
    truth[:, :8, 8:16] = 3
    images = 2.0 * np.eye(4, dtype=np.float32)[truth] - 1
    wrong = truth.copy()
    wrong[:, :, 4:6] = 1
    found = measure_reconstructions(modality, images, 2.0 * np.eye(4, dtype=np.float32)[wrong] - 1)
    by_class = found["accuracy_by_class"]
    assert list(by_class) == ["clear", "thin cloud", "cloud shadow"]
    assert by_class["thin cloud"] == {"autoencoder": 0.5, "block_mean": 0.0, "share": 1 / 24}
    assert by_class["cloud shadow"]["block_mean"] == 1.0
    np.testing.assert_allclose(found["accuracy"]["autoencoder"], 1 - 1 / 48)
    np.testing.assert_allclose(found["accuracy"]["block_mean"], 1 - 1 / 24)


def test_padded_batches():
    images = [np.full((2, 2, 1), i) for i in range(5)]
    batches = padded(images, 2)
    assert [batch.shape for batch in batches] == [(2, 2, 2, 1)] * 3
    assert [corner(image) for image in np.concatenate(batches)] == [0, 1, 2, 3, 4, 4]

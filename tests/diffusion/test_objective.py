"""The training objective: who counts, how much, and what the network sees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.corruption import min_snr_weight
from copgen_jax.diffusion.objective import Example, Objective, draw_example, draw_times, make_example, weighted_error
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.errors import InputError
from copgen_jax.modalities import ABSENT, GIVEN, WANTED

SCHEDULE = NoiseSchedule(ScheduleConfig())
PUBLISHED = Objective(schedule=SCHEDULE)
KEYS = jax.random.split(jax.random.key(1), 4)
CLEAN = {"radar": jax.random.normal(KEYS[0], (3, 4, 4, 8)), "date": jax.random.normal(KEYS[1], (3, 3))}
NOISE = {"radar": jax.random.normal(KEYS[2], (3, 4, 4, 8)), "date": jax.random.normal(KEYS[3], (3, 3))}
TIMES = {"radar": jnp.array([5.0, 300.0, 900.0]), "date": jnp.array([1000.0, 40.0, 700.0])}
ROLES = {"radar": jnp.array([GIVEN, WANTED, WANTED]), "date": jnp.array([WANTED, ABSENT, WANTED])}
OUTPUT = jax.tree.map(lambda x: 0.3 * x + 0.1, CLEAN)


def test_published_loss_written_out():
    loss = weighted_error(OUTPUT, make_example(PUBLISHED, CLEAN, NOISE, TIMES))
    error = {name: ((np.asarray(NOISE[name]) - OUTPUT[name]) ** 2).reshape(3, -1).mean(1) for name in CLEAN}
    for name in CLEAN:
        np.testing.assert_allclose(loss.error[name], error[name], rtol=1e-5)
        np.testing.assert_allclose(loss.per_modality[name], error[name].mean(), rtol=1e-5)
    np.testing.assert_allclose(loss.per_sample, error["radar"] + error["date"], rtol=1e-5)
    np.testing.assert_allclose(loss.total, (error["radar"] + error["date"]).mean(), rtol=1e-5)


def test_given_is_clean_absent_is_noise_and_both_do_not_count():
    example = make_example(PUBLISHED, CLEAN, NOISE, TIMES, ROLES)
    np.testing.assert_array_equal(example.inputs["radar"][0], CLEAN["radar"][0])
    np.testing.assert_array_equal(example.inputs["date"][1], NOISE["date"][1])
    np.testing.assert_array_equal(example.network_time["radar"], [0, 300, 900])
    np.testing.assert_array_equal(example.network_time["date"], [1000, 1000, 700])
    np.testing.assert_array_equal(example.weights["radar"], [0, 1, 1])
    np.testing.assert_array_equal(example.weights["date"], [1, 0, 1])
    loss, free = weighted_error(OUTPUT, example), weighted_error(OUTPUT, make_example(PUBLISHED, CLEAN, NOISE, TIMES))
    assert loss.error["radar"][0] == loss.error["date"][1] == 0
    np.testing.assert_allclose(loss.per_modality["radar"], free.error["radar"][1:].mean(), rtol=1e-6)
    np.testing.assert_allclose(
        loss.per_sample, [free.error["date"][0], free.error["radar"][1], free.per_sample[2]], rtol=1e-6
    )


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_what_is_absent_may_be_anything(prediction):
    objective = dataclasses.replace(PUBLISHED, prediction=prediction, min_snr=5.0)

    def loss(scale, clean):
        example = make_example(objective, clean, NOISE, TIMES, ROLES)
        return weighted_error(jax.tree.map(lambda x: scale * x, example.inputs), example).total

    broken = {**CLEAN, "date": CLEAN["date"].at[1].set(jnp.nan)}
    value, slope = jax.value_and_grad(loss)(0.7, broken)
    reference, reference_slope = jax.value_and_grad(loss)(0.7, CLEAN)
    assert (value, slope) == (reference, reference_slope)
    assert np.isfinite(value)
    assert slope != 0


def test_nothing_counts_in_an_empty_sample():
    absent = {name: jnp.full(3, ABSENT, jnp.int32) for name in CLEAN}
    loss = weighted_error(OUTPUT, make_example(PUBLISHED, CLEAN, NOISE, TIMES, absent))
    assert loss.total == 0
    assert all(value == 0 for value in loss.per_modality.values())


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_a_perfect_network_has_no_loss(prediction):
    example = make_example(dataclasses.replace(PUBLISHED, prediction=prediction), CLEAN, NOISE, TIMES)
    assert weighted_error(example.targets, example).total == 0


def test_weights_multiply_the_loss_but_not_the_report():
    objective = dataclasses.replace(PUBLISHED, modality_weights={"radar": 3.0}, min_snr=2.0)
    weighted = weighted_error(OUTPUT, make_example(objective, CLEAN, NOISE, TIMES))
    plain = weighted_error(OUTPUT, make_example(PUBLISHED, CLEAN, NOISE, TIMES))
    snr = {name: min_snr_weight(SCHEDULE, "eps", time, 2.0) for name, time in TIMES.items()}
    expected = 3 * snr["radar"] * plain.error["radar"] + snr["date"] * plain.error["date"]
    np.testing.assert_allclose(weighted.per_sample, expected, rtol=1e-6)
    np.testing.assert_allclose(weighted.per_modality["radar"], plain.per_modality["radar"], rtol=1e-6)


def test_draw_is_the_same_under_jit_and_in_any_order_of_names():
    objective = dataclasses.replace(PUBLISHED, conditional_share=0.5)
    drawn = draw_example(objective, jax.random.key(7), CLEAN)
    jitted = jax.jit(lambda key, clean: draw_example(objective, key, clean))(jax.random.key(7), CLEAN)
    turned = draw_example(objective, jax.random.key(7), dict(reversed(CLEAN.items())))
    for other in (jitted, turned):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), drawn, other)
    different = draw_example(objective, jax.random.key(8), CLEAN)
    assert not np.array_equal(different.inputs["radar"], drawn.inputs["radar"])


def test_presence_marks_what_is_missing():
    presence = {"radar": jnp.array([True, False, True]), "date": jnp.array([True, True, False])}
    clean = {
        name: jnp.where(has.reshape((3,) + (1,) * (CLEAN[name].ndim - 1)), CLEAN[name], jnp.nan)
        for name, has in presence.items()
    }
    example = draw_example(PUBLISHED, jax.random.key(0), clean, presence)
    for name, has in presence.items():
        np.testing.assert_array_equal(example.weights[name] > 0, has)
        np.testing.assert_array_equal(np.asarray(example.network_time[name])[~np.asarray(has)], 1000)
        assert np.isfinite(example.inputs[name]).all()


def test_discrete_and_continuous_times():
    many = {"radar": jnp.zeros((20000, 1)), "date": jnp.zeros((20000, 1))}
    steps = draw_times(PUBLISHED, jax.random.key(0), many)
    assert (np.asarray(steps["radar"]) != np.asarray(steps["date"])).any()
    together = np.concatenate(list(steps.values()))
    np.testing.assert_array_equal(together, np.round(together))
    assert (together.min(), together.max()) == (1, 1000)
    assert np.bincount(together.astype(int), minlength=1001)[1:].min() > 10
    anywhere = np.concatenate(
        list(draw_times(dataclasses.replace(PUBLISHED, continuous_time=True), jax.random.key(0), many).values())
    )
    assert anywhere.min() >= 1
    assert anywhere.max() <= 1000
    assert (anywhere != np.round(anywhere)).mean() > 0.9
    np.testing.assert_allclose(np.quantile(anywhere, [0.25, 0.5, 0.75]), [250.75, 500.5, 750.25], atol=10)


def test_a_share_of_the_samples_has_one_time_for_all_and_times_stay_uniform():
    many = {name: jnp.zeros((20000, 1)) for name in ("radar", "date", "place")}
    times = np.stack(
        list(draw_times(dataclasses.replace(PUBLISHED, shared_time=0.3), jax.random.key(0), many).values())
    )
    together = (times == times[0]).all(0)
    np.testing.assert_allclose(together.mean(), 0.3, atol=0.01)
    for one in (times[1], times[2, together], times[2, ~together]):
        np.testing.assert_allclose(np.quantile(one, [0.25, 0.5, 0.75]), [250, 500, 750], atol=20)
    with pytest.raises(InputError, match=r"one time for all is 1\.5"):
        dataclasses.replace(PUBLISHED, shared_time=1.5)


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_shifted_times_have_the_density_of_sd3(shift):
    """P(t' < x) is that of a uniform t below the time that is shifted to x: x / (s - (s - 1) x)."""
    many = {"date": jnp.zeros((50_000, 1))}
    for continuous in (False, True):
        objective = dataclasses.replace(PUBLISHED, time_shift=shift, continuous_time=continuous)
        times = np.asarray(draw_times(objective, jax.random.key(0), many)["date"])
        assert (times.min(), times.max()) == pytest.approx((1, 1000), abs=2)
        assert continuous == bool((times != np.round(times)).any())
        for x in (0.1, 0.5, 0.75, 0.9):
            np.testing.assert_allclose((times <= 1000 * x).mean(), x / (shift - (shift - 1) * x), atol=0.01)
    with pytest.raises(InputError, match="shift of times is 0"):
        dataclasses.replace(PUBLISHED, time_shift=0.0)


def test_other_numbers_of_steps_still_span_the_network_time():
    objective = Objective(schedule=NoiseSchedule(ScheduleConfig(steps=50)))
    times = draw_times(objective, jax.random.key(0), {"date": jnp.zeros((2000, 3))})["date"]
    np.testing.assert_allclose(np.unique(times), np.arange(1, 51) * 20, rtol=1e-6)


def test_half_precision_outputs_are_compared_in_full():
    example = make_example(PUBLISHED, CLEAN, NOISE, TIMES)
    output = jax.tree.map(lambda x: x.astype(jnp.bfloat16), OUTPUT)
    loss = weighted_error(output, example)
    assert loss.total.dtype == jnp.float32
    exact = weighted_error(jax.tree.map(lambda x: x.astype(jnp.float32), output), example)
    assert loss.total == exact.total


def test_examples_pass_through_transformations():
    shapes = jax.eval_shape(lambda key: draw_example(PUBLISHED, key, CLEAN), jax.random.key(0))
    assert isinstance(shapes, Example)
    assert shapes.inputs["radar"].shape == (3, 4, 4, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditional_share": 1.5}, "share of conditional samples is 1.5; expected 0 to 1"),
        ({"hiding_share": -1.0}, "share of conditional samples that hide modalities is -1.0; expected 0 to 1"),
        ({"given_sets_share": 0.5}, "there are no sets: name given_sets"),
        ({"min_snr": 0.0}, "gamma of min-SNR weights is 0.0"),
        ({"modality_weights": {"radar": -1.0}}, "loss weight of radar is -1.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        Objective(schedule=SCHEDULE, **options)


def test_a_weight_for_an_unknown_modality():
    objective = dataclasses.replace(PUBLISHED, modality_weights={"rader": 2.0})
    with pytest.raises(InputError, match="'rader', which is not trained: did you mean radar"):
        make_example(objective, CLEAN, NOISE, TIMES)

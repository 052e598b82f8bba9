"""One update: the guard against what is not finite, clipping, warm-up; and micro-batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilation import QUICK_COMPILATION

from copgen_jax.config import BackboneConfig, ModelConfig, ScheduleConfig
from copgen_jax.diffusion.objective import Objective
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.errors import InputError
from copgen_jax.modalities import TINY
from copgen_jax.model import build_backbone
from copgen_jax.training.config import BackboneTraining, Habits, ObjectiveConfig, OptimiserConfig, training_preset
from copgen_jax.training.initialise import fresh_params
from copgen_jax.training.optimiser import learning_rate, make_optimiser, start_state, update_state
from copgen_jax.training.step import TIME_BINS, draw_batch, loss_and_gradients

CONFIG = OptimiserConfig(learning_rate=0.1, warmup_steps=0, ema_rate=0.5)
PARAMS = {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.1, 0.2])}
GRADIENTS = jax.tree.map(lambda x: 0.3 * x + 1.0, PARAMS)


def updated(state, gradients, config=CONFIG, loss=1.0):
    return update_state(state, jnp.float32(loss), gradients, config)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_what_is_not_finite_changes_nothing_and_is_counted(bad):
    state, _ = updated(start_state(PARAMS, make_optimiser(CONFIG)), GRADIENTS)
    broken = {**GRADIENTS, "bias": GRADIENTS["bias"].at[0].set(bad)}
    after, update = updated(state, broken)
    for name in ("params", "ema_params", "moments"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))
    assert (after.step, after.skipped, after.skipped_in_a_row) == (2, 1, 1)
    assert update.skipped == 1
    again, _ = updated(after, GRADIENTS, loss=bad)
    assert (again.skipped, again.skipped_in_a_row) == (2, 2)
    good, update = updated(again, GRADIENTS)
    assert (good.step, good.skipped, good.skipped_in_a_row, update.skipped) == (4, 2, 0, 0)
    assert np.isfinite(good.params["kernel"]).all()
    assert (good.params["kernel"] != again.params["kernel"]).all()


def test_a_skipped_update_does_not_move_the_warm_up():
    config = dataclasses.replace(CONFIG, warmup_steps=4)
    state = start_state(PARAMS, make_optimiser(config))
    rates = []
    for gradients in (GRADIENTS, jax.tree.map(lambda x: x * jnp.nan, GRADIENTS), GRADIENTS, GRADIENTS):
        state, update = updated(state, gradients, config)
        rates.append(float(update.learning_rate))
    np.testing.assert_allclose(rates, [0.0, 0.025, 0.025, 0.05], rtol=1e-6)


def test_clipping_scales_the_whole_gradient():
    """Adam does not feel the scale of a single gradient; its moments do."""
    norm = float(optax.tree.norm(GRADIENTS))
    clipped = dataclasses.replace(CONFIG, clip_norm=norm / 10)
    state, update = updated(start_state(PARAMS, make_optimiser(clipped)), GRADIENTS, clipped)
    plain, _ = updated(start_state(PARAMS, make_optimiser(CONFIG)), GRADIENTS)
    mu = {tuple(p)[-1].key: x for p, x in jax.tree_util.tree_leaves_with_path(optax.tree.get(state.moments, "mu"))}
    free = {tuple(p)[-1].key: x for p, x in jax.tree_util.tree_leaves_with_path(optax.tree.get(plain.moments, "mu"))}
    for name in free:
        np.testing.assert_allclose(mu[name], free[name] / 10, rtol=1e-5)
    np.testing.assert_allclose(update.gradient_norm, norm, rtol=1e-6)


@pytest.mark.parametrize(("warmup", "expected"), [(0, [1, 1, 1]), (2, [0, 0.5, 1]), (4, [0, 0.25, 0.5])])
def test_warm_up(warmup, expected):
    rate = learning_rate(OptimiserConfig(learning_rate=3.0, warmup_steps=warmup))
    np.testing.assert_allclose([rate(k) for k in range(3)], 3.0 * np.array(expected), rtol=1e-6)


def test_learning_rate_falls_to_zero_where_asked():
    rate = learning_rate(OptimiserConfig(learning_rate=2.0, warmup_steps=4, decay_steps=10))
    expected = [2 * min(k / 4, 1) * max(1 - k / 10, 0) for k in range(13)]
    np.testing.assert_allclose([rate(k) for k in range(13)], expected, rtol=1e-6)
    with pytest.raises(InputError, match="decay_steps is 0"):
        OptimiserConfig(decay_steps=0)


SMALL = TINY.subset(["DEM", "timestamp"])
BACKBONE = build_backbone(ModelConfig(modalities=SMALL, backbone=BackboneConfig(width=16, depth=2, heads=2)))
OBJECTIVE = Objective(schedule=NoiseSchedule(ScheduleConfig()), conditional_share=0.5)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    batch = {
        "moments": {"DEM": rng.normal(size=(8, *SMALL["DEM"].latent_shape[:2], 16)).astype(np.float16)},
        "vectors": {"timestamp": rng.normal(size=(8, 3)).astype(np.float32)},
        "presence": np.array([[True, i % 3 != 0] for i in range(8)]),
    }
    batch["vectors"]["timestamp"][~batch["presence"][:, 1]] = np.nan
    draw = jax.jit(
        lambda step: draw_batch(OBJECTIVE, SMALL, 7, step, jax.tree.map(jnp.asarray, batch)),
        compiler_options=QUICK_COMPILATION,
    )
    return batch, draw


def test_a_batch_is_a_function_of_seed_and_step(drawn):
    _, draw = drawn
    one, again, other = draw(jnp.int32(3)), draw(jnp.int32(3)), draw(jnp.int32(4))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    for name in SMALL.names:
        assert not np.array_equal(one.inputs[name], other.inputs[name])


def test_what_a_patch_lacks_is_noise_at_the_end_and_does_not_count(drawn):
    batch, draw = drawn
    example = draw(jnp.int32(0))
    absent = ~batch["presence"][:, 1]
    np.testing.assert_array_equal(np.asarray(example.network_time["timestamp"])[absent], 1000)
    np.testing.assert_array_equal(np.asarray(example.weights["timestamp"])[absent], 0)
    assert np.isfinite(example.inputs["timestamp"]).all()


def test_micro_batches_do_not_change_the_update(drawn):
    _, draw = drawn
    example = draw(jnp.int32(1))
    params = jax.jit(lambda: fresh_params(BACKBONE, jax.random.key(0)), compiler_options=QUICK_COMPILATION)()

    def of(accumulation):
        return jax.jit(
            lambda p, e: loss_and_gradients(BACKBONE, p, e, accumulation=accumulation),
            compiler_options=QUICK_COMPILATION,
        )(params, example)

    (loss, gradients, errors), (in_parts, summed, errors_in_parts) = of(1), of(4)
    np.testing.assert_allclose(in_parts, loss, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), summed, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), errors_in_parts, errors)
    counted = sum(float((w > 0).sum()) for w in example.weights.values())
    assert errors.by_time.shape == (TIME_BINS, 2)
    assert errors.by_time[:, 1].sum() == counted == sum(float(e[1]) for e in errors.by_modality.values())


def test_presets_are_the_published_run():
    base = training_preset("base")
    assert (base.batch_size, base.optimiser, base.objective) == (1024, OptimiserConfig(), ObjectiveConfig())
    assert {name: training_preset(name).accumulation for name in ("base", "large", "huge")} == {
        "base": 2,
        "large": 4,
        "huge": 8,
    }
    assert base.complete_only
    assert base.habits.steps == 500_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BackboneTraining(batch_size=7, accumulation=2), "batch of 7 does not divide into 2 micro-batches"),
        (lambda: BackboneTraining(dtype="float16"), "dtype is 'float16'; expected float32 or bfloat16"),
        (lambda: BackboneTraining(seed=-1), "seed is -1"),
        (lambda: OptimiserConfig(ema_rate=1.0), "ema_rate is 1.0"),
        (lambda: OptimiserConfig(clip_norm=0.0), "clip_norm is 0.0"),
        (lambda: Habits(save_every=0), "habits.save_every is 0"),
        (lambda: BackboneTraining(objective=ObjectiveConfig(min_snr=-1.0)), "min-SNR weights is -1.0"),
        (lambda: training_preset("bass"), "did you mean base"),
    ],
)
def test_senseless_settings(make, message):
    with pytest.raises(InputError, match=message):
        make()

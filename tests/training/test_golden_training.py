"""Loss, gradients and updates against the original's, number by number."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import arrays, case_backbone, recipe_latents, to_latent
from golden_vectors import cases, load_json

from copgen_jax.checkpoints import backbone_state_dict
from copgen_jax.config import ScheduleConfig
from copgen_jax.diffusion.objective import Objective, make_example
from copgen_jax.diffusion.schedule import NoiseSchedule
from copgen_jax.training.config import OptimiserConfig
from copgen_jax.training.optimiser import make_optimiser, start_state, update_state
from copgen_jax.training.step import example_loss, loss_and_gradients

QUICK_COMPILATION = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
OBJECTIVE = Objective(schedule=NoiseSchedule(ScheduleConfig()))


def network_times(case, data_seed):
    """The published draw, with its ends forced: row = modality."""
    n = np.random.Generator(np.random.PCG64(data_seed)).integers(1, 1001, size=(12, case["batch"]))
    n[0, 0], n[1, -1] = 1, 1000
    return n


def example_of(case, modalities, data_seed):
    clean = recipe_latents(modalities, case["batch"], data_seed, "x0")
    noise = recipe_latents(modalities, case["batch"], data_seed, "eps")
    times = network_times(case, data_seed)[: len(modalities)].astype(np.float32)
    return make_example(
        OBJECTIVE,
        jax.tree.map(jnp.asarray, clean),
        jax.tree.map(jnp.asarray, noise),
        {name: jnp.asarray(times[i]) for i, name in enumerate(modalities.names)},
    )


@functools.lru_cache
def gradients_of(backbone):
    """Compiled once for all cases of a size."""
    return jax.jit(
        lambda params, example: loss_and_gradients(backbone, params, example), compiler_options=QUICK_COMPILATION
    )


def norms(tree, backbone, names):
    published = backbone_state_dict(jax.tree.map(np.asarray, tree), backbone)
    return np.array([np.linalg.norm(np.asarray(published[name], np.float64)) for name in names])


@pytest.mark.parametrize("case", cases("training", kind="loss"), ids=lambda c: c["file"])
def test_loss_and_gradients(case):
    backbone, params = case_backbone(case, f"training/{case['manifest']}", case["weights_seed"])
    golden, names = arrays(f"training/{case['file']}"), load_json(f"training/{case['params']}")
    np.testing.assert_array_equal(network_times(case, case["data_seed"]), golden["n"])
    example = example_of(case, backbone.modalities, case["data_seed"])
    for key in [key for key in golden.files if key.startswith("xn/")]:
        (modality,) = (m for m in backbone.modalities if m.published_key == key.removeprefix("xn/"))
        np.testing.assert_allclose(
            example.inputs[modality.name], to_latent(golden[key], modality), atol=1e-6, rtol=1e-6
        )
    loss = jax.jit(lambda p, e: example_loss(backbone, p, e))(params, example)
    np.testing.assert_allclose(loss.total, golden["loss"], rtol=1e-5)
    np.testing.assert_allclose(loss.per_sample, golden["loss_per_sample"], rtol=1e-5)
    for i, name in enumerate(backbone.modalities.names):
        np.testing.assert_allclose(loss.error[name], golden["loss_per_modality_sample"][i], rtol=1e-5)
        np.testing.assert_allclose(loss.per_modality[name], golden["loss_per_modality"][i], rtol=1e-5)

    total, gradients, errors = gradients_of(backbone)(params, example)
    np.testing.assert_allclose(total, golden["loss"], rtol=1e-5)
    np.testing.assert_allclose(norms(gradients, backbone, names), golden["grad_norm"], rtol=1e-4)
    published = backbone_state_dict(jax.tree.map(np.asarray, gradients), backbone)
    whole = np.sqrt(sum(np.sum(np.asarray(g, np.float64) ** 2) for g in published.values()))
    np.testing.assert_allclose(whole, golden["grad_norm_total"], rtol=1e-4)
    for key in [key for key in golden.files if key.startswith("grad/")]:
        np.testing.assert_allclose(published[key.removeprefix("grad/")], golden[key], atol=1e-5)
    np.testing.assert_allclose(errors.by_time[:, 0].sum(), golden["loss_per_modality_sample"].sum(), rtol=1e-5)


@pytest.mark.parametrize("case", cases("training", kind="optimiser"), ids=lambda c: c["file"])
def test_updates(case):
    backbone, params = case_backbone(case, f"training/{case['manifest']}", case["weights_seed"])
    golden, names = arrays(f"training/{case['file']}"), load_json(f"training/{case['params']}")
    config = OptimiserConfig(
        learning_rate=case["lr"],
        beta1=case["betas"][0],
        beta2=case["betas"][1],
        epsilon=case["eps"],
        weight_decay=case["weight_decay"],
        warmup_steps=case["warmup"],
        ema_rate=case["ema_rate"],
    )
    params = jax.tree.map(jnp.asarray, params)
    state = start_state(params, make_optimiser(config))

    updated = jax.jit(lambda state, loss, gradients: update_state(state, loss, gradients, config))

    # Where the warm-up is short the weights move visibly, and their changes can be told from rounding.
    moving = case["warmup"] < len(case["data_seeds"])
    for k, seed in enumerate(case["data_seeds"]):
        loss, gradients, _ = gradients_of(backbone)(state.params, example_of(case, backbone.modalities, seed))
        state, update = updated(state, loss, gradients)
        np.testing.assert_allclose(loss, golden["loss"][k], rtol=1e-4 if moving else 1e-5)
        np.testing.assert_allclose(update.learning_rate, golden["lr"][k], rtol=1e-6)
        np.testing.assert_allclose(norms(state.params, backbone, names), golden["param_norm"][k], rtol=1e-4)
        np.testing.assert_allclose(norms(state.ema_params, backbone, names), golden["ema_norm"][k], rtol=1e-4)
        if moving and k > 0:
            moved = jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), state.params, params)
            averaged = jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), state.ema_params, params)
            np.testing.assert_allclose(norms(moved, backbone, names), golden["param_change"][k], rtol=1e-3, atol=5e-7)
            np.testing.assert_allclose(norms(averaged, backbone, names), golden["ema_change"][k], rtol=1e-3, atol=5e-7)
        elif k == 0:
            jax.tree.map(np.testing.assert_array_equal, state.params, params)

    first = example_of(case, backbone.modalities, case["data_seeds"][0])
    for tree, kind in ((state.params, ""), (state.ema_params, "ema_")):
        loss, _, _ = gradients_of(backbone)(tree, first)
        np.testing.assert_allclose(loss, golden[f"{kind}loss_after_on_first_batch"].item(), rtol=1e-4)
    for tree, kind in ((state.params, "param/"), (state.ema_params, "ema/")):
        published = backbone_state_dict(jax.tree.map(np.asarray, tree), backbone)
        for key in [key for key in golden.files if key.startswith(kind)]:
            np.testing.assert_allclose(published[key.removeprefix(kind)], golden[key], atol=2e-5)

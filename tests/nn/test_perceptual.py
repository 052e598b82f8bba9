"""LPIPS against an independent PyTorch forward pass, its gradient, its rule for bands, its file names."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feature_weights import images, weights
from golden_vectors import load_json, present

from copgen_jax.errors import InputError
from copgen_jax.nn import perceptual
from copgen_jax.nn.perceptual import ALEXNET, VGG16, Trunk

SEED = 21
TRUNKS = {trunk.name: trunk for trunk in (ALEXNET, VGG16)}
with np.load(Path(__file__).parent / "features.npz") as _stored:
    VECTORS = {name: _stored[name] for name in _stored.files}


@functools.cache
def params(trunk: Trunk) -> dict[str, np.ndarray]:
    return perceptual.lpips_params(trunk, weights(perceptual.lpips_names(trunk), SEED))


def pair(names: tuple[str, str], shape: tuple[int, ...]) -> list[jax.Array]:
    return [jnp.asarray(images(name, shape, SEED).transpose(0, 2, 3, 1)) for name in names]


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("lpips|")])
def test_distance_and_gradient_equal_pytorch(name):
    _, trunk, side = name.split("|")
    x, y = pair(("one", "other"), (len(VECTORS[name]), 3, int(side), int(side)))

    def distance(x, p):
        each = perceptual.lpips(p, x, y, trunk=TRUNKS[trunk])
        return each.sum(), each

    (_, got), gradient = jax.jit(jax.value_and_grad(distance, has_aux=True))(x, params(TRUNKS[trunk]))
    np.testing.assert_allclose(got, VECTORS[name], rtol=1e-5)
    wanted = VECTORS[name.replace("lpips", "gradient")].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("bands|")])
def test_bands_equal_pytorch(name):
    _, trunk, side, channels = name.split("|")
    x, y = pair(("bands", "others"), (1, int(channels), int(side), int(side)))
    measure = jax.jit(functools.partial(perceptual.lpips_of_bands, trunk=TRUNKS[trunk]))
    got = measure(params(TRUNKS[trunk]), x, y)
    np.testing.assert_allclose(got, VECTORS[name], rtol=1e-5)


def test_channel_groups():
    assert perceptual.channel_groups(3) == ((0, 1, 2),)
    assert perceptual.channel_groups(5) == ((0, 1, 2), (2, 3, 4))
    assert perceptual.channel_groups(10)[-2:] == ((6, 7, 8), (7, 8, 9))
    for channels in range(3, 20):
        groups = perceptual.channel_groups(channels)
        assert {c for group in groups for c in group} == set(range(channels)), "every channel is seen"
        assert len(groups) == -(-channels // 3)


def test_symmetric_and_zero_for_equal_images():
    x, y = pair(("one", "other"), (1, 3, 35, 35))
    measure = jax.jit(perceptual.lpips)
    assert measure(params(ALEXNET), x, x) < 1e-12
    np.testing.assert_allclose(measure(params(ALEXNET), x, y), measure(params(ALEXNET), y, x), rtol=1e-6)


def test_gradient_is_finite_where_all_features_are_zero():
    p = dict(params(ALEXNET))
    p["features.0.bias"] = np.full_like(p["features.0.bias"], -1e3)
    x, y = pair(("one", "other"), (1, 3, 35, 35))
    gradient = jax.jit(jax.grad(lambda x, p: perceptual.lpips(p, x, y).sum()))(x, p)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("trunk", TRUNKS.values(), ids=list(TRUNKS))
def test_names_of_torchvision_lpips_and_training_states(trunk):
    whole = weights(perceptual.lpips_names(trunk), SEED)
    slices, place = {}, 1
    for layer in trunk.layers:
        slices[str(layer.index)] = place
        place += layer.compared

    def renamed(prefix: str) -> dict[str, np.ndarray]:
        out = {}
        for name, value in whole.items():
            parts = name.split(".")
            inner = f"net.slice{slices[parts[1]]}.{parts[1]}.{parts[2]}" if parts[0] == "features" else name
            out[prefix + inner] = value
        return out

    wanted = perceptual.lpips_params(trunk, whole)
    torchvision = {name: value for name, value in whole.items() if name.startswith("features")}
    linear = {name: value for name, value in whole.items() if name.startswith("lin")}
    for given in ((torchvision, linear), (renamed(""),), (renamed("loss.perceptual_loss."),)):
        got = perceptual.lpips_params(trunk, *given)
        assert set(got) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(got[name], value)
    with pytest.raises(InputError, match=r"no lin0\.model\.1\.weight"):
        perceptual.lpips_params(trunk, torchvision)


@pytest.mark.parametrize("path", present("vae/manifest_loss_DEM_DEM.json"))
def test_the_published_training_loss_has_the_vgg_trunk(path):
    shapes = {name: shape for name, shape in load_json(path).items() if "perceptual_loss" in name}
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    assert len(perceptual.lpips_params(VGG16, state)) == len(perceptual.lpips_names(VGG16))
    assert len(state) == len(perceptual.lpips_names(VGG16)) + 2, "all but the constants of the scaling layer"

"""ResNet-50 features against an independent PyTorch forward pass on weights from a seed."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feature_weights import images, weights

from copgen_jax.errors import InputError
from copgen_jax.nn.resnet import FEATURES, resnet50_features, resnet50_names, resnet50_params

SEED = 21


def test_features_equal_pytorch():
    with np.load(Path(__file__).parent / "features.npz") as stored:
        wanted = stored["resnet|64x96"]
    params = resnet50_params(weights(resnet50_names(), SEED))
    x = jnp.asarray(images("resnet", (1, 3, 64, 96), SEED).transpose(0, 2, 3, 1))
    got = jax.jit(resnet50_features)(params, x)
    assert got.shape == (1, FEATURES)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_the_table_has_the_published_number_of_parameters():
    learnt = {n: s for n, s in resnet50_names().items() if not n.endswith(("running_mean", "running_var"))}
    assert sum(int(np.prod(shape)) for shape in learnt.values()) == 25_557_032 - (2048 + 1) * 1000


def test_unneeded_parameters_are_passed_over_and_missing_ones_named():
    shapes = resnet50_names()
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    state |= {"fc.weight": np.zeros((1000, 2048), np.float32), "bn1.num_batches_tracked": np.array(3)}
    assert set(resnet50_params(state)) == set(shapes)
    with pytest.raises(InputError, match=r"conv1\.weight has shape \(64, 1, 7, 7\)"):
        resnet50_params(state | {"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)})
    del state["layer3.5.bn2.running_var"]
    with pytest.raises(InputError, match=r"no layer3\.5\.bn2\.running_var"):
        resnet50_params(state)

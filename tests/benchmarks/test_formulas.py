"""Operations by formula against XLA's count of the unrolled networks, at the published sizes: nothing is compiled."""

import jax
import numpy as np
import pytest

from benchmarks.formulas import backbone_flops, decoder_flops, encoder_flops, enlarging_saved
from benchmarks.ours import unrolled
from copgen_jax.config import preset
from copgen_jax.model import build_autoencoder

ELEMENTWISE = 0.02
"""Share of what the formulas leave out."""


@pytest.fixture(autouse=True)
def _as_elsewhere(monkeypatch):
    """Not the way of CPUs: attention in a loop over heads, whose body XLA counts once, and convolutions by points."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *arrays, default, cpu: default(*arrays))


def counted(function, *arguments):
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


@pytest.mark.parametrize("size", ["base", pytest.param("huge", marks=pytest.mark.slow)])
def test_backbone(size):
    config = preset(size)
    network = unrolled(config)
    latents = {m.name: jax.ShapeDtypeStruct((1, *m.latent_shape), np.float32) for m in config.modalities}
    times = {name: jax.ShapeDtypeStruct((1,), np.float32) for name in config.modalities.names}
    params = jax.eval_shape(network.init, jax.random.key(0), latents, times)
    found = counted(network.apply, params, latents, times)
    assert found == pytest.approx(backbone_flops(config), rel=ELEMENTWISE)
    assert found > backbone_flops(config)


@pytest.mark.parametrize("name", ["S1RTC", "S2L1C_60m"])
@pytest.mark.parametrize("method", ["encode", "decode"])
def test_autoencoder(name, method):
    config = preset("base")
    modality, network = config.modalities[name], build_autoencoder(config, name)
    image = jax.ShapeDtypeStruct((1, *modality.image_shape), np.float32)
    latent = jax.ShapeDtypeStruct((1, *modality.latent_shape), np.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), image)
    values, formula = {"encode": (image, encoder_flops), "decode": (latent, decoder_flops)}[method]
    found = counted(lambda p, x: network.apply(p, x, method=method), params, values)
    saved = enlarging_saved(config, name) if method == "decode" else 0
    assert found == pytest.approx(formula(config, name) - saved, rel=ELEMENTWISE)

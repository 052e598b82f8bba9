"""The any-to-any sampler against the original's."""

import jax
import numpy as np
import pytest
from golden_networks import arrays, case_backbone, recipe_latents, to_latent
from golden_vectors import load_json, present

from copgen_jax.modalities import COPGEN
from copgen_jax.sampling import make_sampler, sample_keys


def any_to_any():
    """(settings, name of the case) of every case, as the root's sampler/cases.json and what it points to say."""
    if not present("sampler/cases.json"):
        return []
    entry = load_json("sampler/cases.json")["any_to_any"]
    settings = entry | load_json(f"sampler/{entry['cases']}")
    return [pytest.param(settings, name, id=name) for name in settings["cases"]]


@pytest.fixture(scope="module")
def sampler():
    made = {}

    def make(settings):
        if not made:
            case = {"width": settings["embed_dim"], "depth": settings["depth"], "heads": settings["heads"]}
            backbone, params = case_backbone(case, f"sampler/{settings['manifest']}", settings["weights_seed"])
            sample = make_sampler(backbone, solver="published", evaluations=settings["steps"])
            made["sample"] = jax.jit(sample), params
        return made["sample"]

    return make


@pytest.mark.parametrize(("settings", "name"), any_to_any())
def test_every_generated_modality(settings, name, sampler):
    sample, params = sampler(settings)
    case, batch, seed = settings["cases"][name], settings["batch"], settings["noise_seed"]
    names = {m.published_key: m.name for m in COPGEN}
    given = [names[key] for key in case["given"]]
    noise = recipe_latents(COPGEN, batch, seed, "noise")
    condition = recipe_latents(COPGEN, batch, seed, "condition")
    given_latents = {n: condition[n] if n in given else np.zeros_like(condition[n]) for n in COPGEN.names}
    roles = COPGEN.roles(given, [names[key] for key in case["generated"]])

    out = sample(params, given_latents, roles, sample_keys(0, ["here"] * batch, range(batch)), noise)

    golden = arrays(f"sampler/{settings['file']}")
    for key in case["generated"]:
        expected = to_latent(golden[f"{name}/{key}"], COPGEN[names[key]])
        difference = np.asarray(out[names[key]]) - expected
        assert np.sqrt(np.mean(difference**2) / np.mean(expected**2)) < 1e-5, key
    for n in given:
        np.testing.assert_array_equal(out[n], given_latents[n])

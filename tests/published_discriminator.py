"""The published names of a discriminator's weights, `main.<place in the sequence>`."""

from collections.abc import Mapping

import numpy as np

PREFIX = "loss.discriminator.main"


def published_layers(strided):
    """{module: place in the published sequence}: convolution, [batch norm,] LeakyReLU, ..."""
    places = {"conv_0": 0, f"conv_{strided + 1}": 3 * strided + 2}
    for i in range(1, strided + 1):
        places |= {f"conv_{i}": 3 * i - 1, f"norm_{i}": 3 * i}
    return places


def discriminator_variables(state_dict: Mapping[str, np.ndarray], strided=3):
    """(params, running statistics) of published arrays; leaves alone what is not the discriminator's."""
    params, statistics = {}, {}
    for module, place in published_layers(strided).items():
        name = f"{PREFIX}.{place}"
        weight = np.asarray(state_dict[f"{name}.weight"])
        if module.startswith("conv"):
            params[module] = {"kernel": weight.transpose(2, 3, 1, 0)}
        else:
            params[module] = {"scale": weight}
            running = {"mean": state_dict[f"{name}.running_mean"], "variance": state_dict[f"{name}.running_var"]}
            statistics[module] = {key: np.asarray(value) for key, value in running.items()}
        if f"{name}.bias" in state_dict:
            params[module]["bias"] = np.asarray(state_dict[f"{name}.bias"])
    return params, statistics

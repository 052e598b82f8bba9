"""Makes tests/nn/features.npz: outputs of ResNet-50 and LPIPS, written anew in plain PyTorch from their papers.

Run once as `PYTHONPATH=tests python tests/nn/make_vectors.py`. Weights and inputs are made from seeds; torchvision and
lpips are not needed, and nothing of copgen_jax is used but the tables of parameter names.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from feature_weights import images, weights

from copgen_jax.nn.perceptual import ALEXNET, VGG16, Trunk, lpips_names
from copgen_jax.nn.resnet import resnet50_names

SEED = 21


def tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in weights(shapes, SEED).items()}


def resnet50(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    def norm(name: str, y: torch.Tensor) -> torch.Tensor:
        statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return F.batch_norm(y, *statistics, w[f"{name}.weight"], w[f"{name}.bias"], training=False, eps=1e-5)

    x = F.relu(norm("bn1", F.conv2d(x, w["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            p = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = F.relu(norm(f"{p}.bn1", F.conv2d(x, w[f"{p}.conv1.weight"])))
            y = F.relu(norm(f"{p}.bn2", F.conv2d(y, w[f"{p}.conv2.weight"], stride=stride, padding=1)))
            y = norm(f"{p}.bn3", F.conv2d(y, w[f"{p}.conv3.weight"]))
            if f"{p}.downsample.0.weight" in w:
                x = norm(f"{p}.downsample.1", F.conv2d(x, w[f"{p}.downsample.0.weight"], stride=stride))
            x = F.relu(x + y)
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def alexnet(w: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    def layer(index: int, y: torch.Tensor, **how) -> torch.Tensor:
        return F.relu(F.conv2d(y, w[f"features.{index}.weight"], w[f"features.{index}.bias"], **how))

    one = layer(0, x, stride=4, padding=2)
    two = layer(3, F.max_pool2d(one, 3, 2), padding=2)
    three = layer(6, F.max_pool2d(two, 3, 2), padding=1)
    four = layer(8, three, padding=1)
    return [one, two, three, four, layer(10, four, padding=1)]


def vgg16(w: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    out = []
    for first, stage in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))):
        x = F.max_pool2d(x, 2, 2) if first else x
        for index in stage:
            x = F.relu(F.conv2d(x, w[f"features.{index}.weight"], w[f"features.{index}.bias"], padding=1))
        out.append(x)
    return out


def lpips(w: dict[str, torch.Tensor], trunk: Trunk, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
    features = {"AlexNet": alexnet, "VGG-16": vgg16}[trunk.name]
    total = torch.zeros(len(a))
    for i, (p, q) in enumerate(zip(features(w, (a - shift) / scale), features(w, (b - shift) / scale), strict=True)):
        p, q = (y / (y.square().sum(1, keepdim=True).sqrt() + 1e-10) for y in (p, q))
        total = total + F.conv2d((p - q) ** 2, w[f"lin{i}.model.1.weight"]).mean(dim=(1, 2, 3))
    return total


def main() -> None:
    vectors = {}
    with torch.no_grad():
        x = torch.from_numpy(images("resnet", (1, 3, 64, 96), SEED))
        vectors["resnet|64x96"] = resnet50(tensors(resnet50_names()), x)
    for trunk, batch, side in ((ALEXNET, 2, 47), (VGG16, 1, 17)):
        w = tensors(lpips_names(trunk))
        a = torch.from_numpy(images("one", (batch, 3, side, side), SEED)).requires_grad_()
        b = torch.from_numpy(images("other", (batch, 3, side, side), SEED))
        distance = lpips(w, trunk, a, b)
        distance.sum().backward()
        vectors[f"lpips|{trunk.name}|{side}"] = distance.detach()
        vectors[f"gradient|{trunk.name}|{side}"] = a.grad
    with torch.no_grad():
        w = tensors(lpips_names(ALEXNET))
        for channels in (1, 2, 4, 6):
            p, q = (torch.from_numpy(images(n, (1, channels, 35, 35), SEED)) for n in ("bands", "others"))
            triples = {1: [[0, 0, 0]], 4: [[0, 1, 2], [1, 2, 3]], 6: [[0, 1, 2], [3, 4, 5]]}.get(channels)
            if triples is None:
                p, q, triples = F.pad(p, (0, 0, 0, 0, 0, 1)), F.pad(q, (0, 0, 0, 0, 0, 1)), [[0, 1, 2]]
            each = torch.stack([lpips(w, ALEXNET, p[:, t], q[:, t]) for t in triples])
            vectors[f"bands|AlexNet|35|{channels}"] = each.mean(0)
    np.savez_compressed(Path(__file__).parent / "features.npz", **{k: v.numpy() for k, v in vectors.items()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

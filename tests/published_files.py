"""Published checkpoints made of the recipe's weights, under the published names: for tests at the true size.

python tests/published_files.py DIR writes DIR/vaes/... and DIR/backbone.safetensors (4.5 GB).
"""

import sys
from pathlib import Path

from golden_vectors import load_json, recipe
from safetensors.numpy import save_file

SEED = 7


def write_published(directory: Path) -> tuple[Path, Path]:
    """(directory of autoencoders, backbone file), of the base size."""
    for key, model in load_json("vae/models.json").items():
        place = (directory / "vaes" / model["checkpoint"]).with_suffix(".safetensors")
        place.parent.mkdir(parents=True, exist_ok=True)
        save_file(recipe.state_dict(load_json(f"vae/manifest_{key}.json"), SEED), place)
    backbone = directory / "backbone.safetensors"
    save_file(recipe.state_dict(load_json("backbone/manifest_base.json"), SEED), backbone)
    return directory / "vaes", backbone


if __name__ == "__main__":
    print(*write_published(Path(sys.argv[1])))

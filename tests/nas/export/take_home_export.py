"""Writes one exported network, and what it must answer, into the folder given as argument."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from nas.export.folder import export_network
from nas.export.source import Normalisation
from nas.modules import NetworkModule, execute
from search_spaces.catalog import mobile

NORMALISATION = Normalisation((0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


def main(folder: Path) -> None:
    """Export a small network with sparse, dilated and grouped convolutions, and its answers to fixed images."""
    space = mobile((3, 8, 8), 10, widths=((16,), (24,)), depths=((2,), (1,)), strides=(1, 2), sparsities=(0.5, "2:4"))
    architecture = space.sample(np.random.default_rng(3))
    network = space.build(architecture)
    weights = NetworkModule(network, seed=0).weights()
    export_network(
        network,
        weights,
        folder,
        architecture=architecture,
        figures={},
        provenance={},
        normalisation=NORMALISATION,
        formats=("pytorch",),
    )
    side = network.input.shape[1]
    images = torch.randint(0, 256, (4, 3, side, side), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (NORMALISATION.mean, NORMALISATION.std))
    with torch.no_grad():
        answers = execute(network, weights, (images / 255 - mean) / std)["output"]
    expected = {"images": images.tolist(), "answers": answers.tolist()}
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

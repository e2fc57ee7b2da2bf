"""Uses an exported folder as somebody without this project would: python -I take_home_use.py FOLDER [--clean].

With --clean nothing of the project may be installed; without it what is installed cannot be imported.
"""

import importlib.abc
import importlib.util
import json
import sys
from pathlib import Path

PROJECT = ("nas", "search_spaces", "predictors", "benchmarks")
STEPS = 25


class Refuse(importlib.abc.MetaPathFinder):
    """Refuses to import this project."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name.partition(".")[0] in PROJECT:
            raise ImportError(f"an exported network must not import {name}")


def use(folder: Path) -> None:
    """Load, predict, train and save the network in `folder`; raises when something is not as it should be."""
    import torch
    from safetensors.torch import save_model
    from torch.nn import functional

    sys.path.insert(0, str(folder))
    import model

    torch.manual_seed(0)
    expected = json.loads((folder / "expected.json").read_text())
    images = torch.tensor(expected["images"], dtype=torch.uint8)
    answers = torch.tensor(expected["answers"])
    network = model.load(folder / "weights.safetensors")
    with torch.no_grad():
        gap = float((network(model.preprocess(images)) - answers).abs().max() / answers.abs().max())
        assert gap < 1e-5, f"its answers are off by {gap}"
        larger = functional.interpolate(images.float(), scale_factor=2).to(torch.uint8)
        assert model.preprocess(larger).shape == images.shape
    zeros = {name: int((p == 0).sum()) for name, p in network.named_parameters() if p.ndim > 1}
    assert sum(zeros.values()) > 0, "no weight is zero"

    x, y = model.preprocess(torch.randint(0, 256, (32, *images.shape[1:]), dtype=torch.uint8)), torch.arange(32) % 10
    for start in (network, model.Network()):
        losses = train(start, x, y)
        assert losses[-1] < 0.5 * losses[0], f"the loss went from {losses[0]} to {losses[-1]}"
    for name, parameter in network.named_parameters():
        assert int((parameter == 0).sum()) >= zeros.get(name, 0), f"zeros of {name} were lost in training"
    save_model(network, str(folder / "trained.safetensors"))
    again = model.load(folder / "trained.safetensors")
    with torch.no_grad():
        assert torch.equal(again(x), network.eval()(x))
    print(f"taken home: answers off by {gap:.1e}, loss {losses[0]:.2f} to {losses[-1]:.2f}")


def train(network, x, y):  # type: ignore[no-untyped-def]
    """Losses of a few steps on one batch."""
    import torch
    from torch.nn import functional

    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        loss = functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


if __name__ == "__main__":
    if "--clean" in sys.argv:
        assert not [name for name in PROJECT if importlib.util.find_spec(name)], "the project can be imported here"
    sys.meta_path.insert(0, Refuse())
    use(Path(sys.argv[1]))

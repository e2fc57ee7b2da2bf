"""Small real runs that count costs and train nothing, for tests of what looks at runs."""

from pathlib import Path

import pytest

from nas.cli import main

SPACE = """
import search_spaces as ss

def space(net, pick):
    x = net.input(1, 8, 8)
    x = ss.conv_norm_act(net, x, pick("width", (4, 8, 16)), kernel=pick("kernel", (3, 5)))
    x = ss.conv_norm_act(net, x, pick("wider", (8, 12, 24)), kernel=3)
    return ss.classifier(net, x, classes=10)

def kept_context(arch):
    return {"missing_context": 100 - 10 * arch["kernel"] - arch["width"]}
"""
RECIPE = """
[space]
name = "space.py:space"
[search]
objectives = ["macs", "missing_context"]
evaluate = "space.py:kept_context"
evaluations = 8
random_evaluations = 4
workers = 1
lag = 0
[export]
top = 1
formats = ["pytorch"]
"""


def make_run(folder: Path, name: str, *settings: str) -> Path:
    """Run the small recipe in `folder`/runs/`name`, with `settings` (key=value) of its own; its folder."""
    (folder / "space.py").write_text(SPACE)
    (folder / "small.toml").write_text(RECIPE)
    words = [word for setting in settings for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "small.toml", "--name", name, *words]) == 0
    return folder / "runs" / name

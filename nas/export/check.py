"""Whether an exported model computes what the project computes."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.export.load import fill, fresh_model, python_module
from nas.export.source import ModelSource
from search_spaces.errors import NasError
from search_spaces.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from nas.modules import Weights

    Reference = Callable[[Tensor], Tensor | Mapping[str, Tensor]]

TOLERANCES = {
    "float64": 1e-10,
    "float32": 1e-5,
    "merged": 1e-5,
    "reference": 1e-5,
    "merged reference": 1e-4,
    "onnxruntime": 1e-4,
}
"""Largest difference allowed, relative to the largest output.

Networks that were merged are compared with what they were merged from in float64 ("merged"), and with a reference in
float32, where merging adds up in another order.
"""
SAMPLES = 4
SEED = 0
INPUT_NAME = "images"


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A serialised ONNX model and what wrote it: "torch.onnx" or, where that failed, "operator graph"."""

    data: bytes
    writer: str


def sample_inputs(network: Network, *, count: int = SAMPLES) -> "Tensor":
    """Fixed normal inputs float64 [count, channels, *spatial] of `network`."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(count, *network.input.shape, generator=generator, dtype=torch.float64)


def difference(got: Mapping[str, "Tensor"], wanted: Mapping[str, "Tensor"]) -> float:
    """Largest difference between outputs, relative to the largest of them; infinite where one is not finite."""
    worst = 0.0
    for name, reference in wanted.items():
        scale = float(reference.abs().max())
        gap = float((got[name] - reference).abs().max())
        if not gap < float("inf") or not scale < float("inf"):
            return float("inf")
        worst = max(worst, gap / scale if scale else gap)
    return worst


def torch_differences(source: ModelSource, network: Network, weights: "Weights") -> dict[str, float]:
    """Difference of the written model from the project's own execution, in float64 and float32."""
    import torch

    from nas.modules import execute

    found = {}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        cast = {path: {key: tensor.to(dtype) for key, tensor in of.items()} for path, of in weights.items()}
        inputs = sample_inputs(network).to(dtype)
        with python_module(source.text) as module, torch.no_grad():
            model = fresh_model(module).to(dtype)
            fill(model, source, network, cast)
            found[name] = difference(named(network, model(inputs)), execute(network, cast, inputs))
    return found


def merged_difference(network: Network, weights: "Weights", before: Network, before_weights: "Weights") -> float:
    """Difference of a merged network from the one `before`, both run in float64 with their weights as they are."""
    import torch

    from nas.modules import execute

    inputs = sample_inputs(network)
    with torch.no_grad():
        wanted, got = (
            execute(
                one, {path: {key: tensor.double() for key, tensor in of.items()} for path, of in own.items()}, inputs
            )
            for one, own in ((before, before_weights), (network, weights))
        )
    return difference(got, wanted)


def reference_difference(model: "nn.Module", network: Network, reference: "Reference") -> float:
    """Difference of the filled model from what `reference` computes on the same inputs, in float32."""
    import torch

    inputs = sample_inputs(network).float()
    with torch.no_grad():
        return difference(named(network, model(inputs)), named(network, reference(inputs)))


def named(network: Network, output: Any) -> dict[str, "Tensor"]:
    """A model's output by name, whether it returned one tensor or a dict."""
    names = [name for name, _ in network.outputs if name not in network.training_only]
    return {name: output[name] for name in names} if isinstance(output, Mapping) else {names[0]: output}


def onnx_model(model: "nn.Module", network: Network, weights: "Weights") -> OnnxModel:
    """`model`, in float32 and evaluation, as ONNX; written from the operator graph where torch.onnx cannot.

    The former takes batches of any size, the latter one sample at a time.
    """
    import onnx
    import torch

    try:
        with quiet():
            program = torch.onnx.export(
                model,
                (sample_inputs(network, count=2).float(),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT_NAME],
                external_data=False,
                verbose=False,
            )
            assert program is not None
            _name_outputs(program.model.graph, [n for n, _ in network.outputs if n not in network.training_only])
            onnx.checker.check_model(program.model_proto)
        return OnnxModel(program.model_proto.SerializeToString(), "torch.onnx")
    except Exception as error:
        from nas.runtimes.onnx_graph import network_to_onnx

        reason = str(error).strip().partition("\n")[0]
        logging.getLogger("nas").warning("torch.onnx cannot export this network (%s): batches of one", reason)
        return OnnxModel(network_to_onnx(network, weights, input_name=INPUT_NAME), "operator graph")


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    """Call the outputs of an ONNX graph `names`, whatever inner values have these names already."""
    for value in (value for node in graph for value in node.outputs):
        if value.name in names:
            value.name = f"inner_{value.name}"
    for value, name in zip(graph.outputs, names, strict=True):
        value.name = name


@contextmanager
def quiet() -> "Iterator[None]":
    """Keep the exporter's remarks off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def onnx_difference(written: OnnxModel, model: "nn.Module", network: Network) -> float:
    """Difference of ONNX Runtime from `model` in float32, for single samples and, where they may, batches."""
    import torch
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = InferenceSession(written.data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = sample_inputs(network).float()
    worst = 0.0
    for part in [inputs[:1]] + ([inputs] if written.writer == "torch.onnx" else []):
        answers = session.run(names, {INPUT_NAME: part.numpy()})
        got = dict(zip(names, map(torch.from_numpy, answers), strict=True))
        with torch.no_grad():
            worst = max(worst, difference(got, named(network, model(part))))
    return worst


def require_equal(differences: Mapping[str, float], *, what: Sequence[str]) -> None:
    """Raise `NasError` where a difference is beyond `TOLERANCES`."""
    for name in what:
        if not differences[name] <= TOLERANCES[name]:
            raise NasError(
                f"the exported network differs from the original by {differences[name]:.2g} of its largest output in "
                f"{name}; at most {TOLERANCES[name]:.0e} is allowed, so nothing was written. Weights that are not "
                "finite, or of a size far from 1, can cause this"
            )

"""Scores of networks that were not trained: cheap rankers to compare a supernet with, larger is held to be better.

Each is a function of a torch module and one batch, and leaves the module as it was. Dropout is off. Norms go by the
batch, or are left out where the score is one of the weights alone.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nas.modules import NetworkModule
from nas.supernet.calibrate import fitted
from nas.tasks.protocol import Batch
from predictors.counts import count_network
from predictors.entropy import network_entropy
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import BatchNorm, Scale

Score = Callable[[nn.Module, Batch], float | None]
_BATCH_NORM = inspect.signature(functional.batch_norm)
_OTHER_NORMS = {functional.layer_norm, functional.group_norm, functional.instance_norm}
_DROPOUTS = {
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
}
_RECTIFIERS = {
    functional.relu,
    functional.relu6,
    functional.hardtanh,
    functional.leaky_relu,
    functional.elu,
    functional.silu,
    functional.gelu,
    functional.hardswish,
    functional.mish,
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
}
_JACOBIAN_SHIFT = 1e-5


class _Probe(TorchFunctionMode):
    """What a module does while it is scored: norms by the batch or not at all, no dropout; `codes` of activations.

    codes: per call of a rectifier, bool [n, units], where its input is positive.
    """

    def __init__(self, norms: Literal["batch", "none"]) -> None:
        super().__init__()
        self._norms = norms
        self.codes: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is functional.batch_norm:
            given = _BATCH_NORM.bind(*args, **named).arguments
            if self._norms == "none":
                return given["input"]
            x, scale, shift = given["input"], given.get("weight"), given.get("bias")
            return functional.batch_norm(x, None, None, scale, shift, training=True, eps=given.get("eps", 1e-5))
        if func in _DROPOUTS or (self._norms == "none" and func in _OTHER_NORMS):
            return args[0] if args else named["input"]
        if func in _RECTIFIERS:
            x = args[0] if args else named["input"]
            self.codes.append((x.detach() > 0).flatten(1))
        return func(*args, **named)


def synflow(module: nn.Module, batch: Batch) -> float:
    """Sum over weights of |w dR/dw|, R the summed output for an input of ones and weights |w| without norms.

    Only the shape of `batch` is read. Weights are parameters of two axes and more. Source: Tanaka et al., Pruning
    neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020; norms are left out as by
    Abdelfattah et al., ICLR 2021.
    """
    sizes = {name: tensor.detach().double().abs() for name, tensor in module.named_parameters()}
    weights = {name: size.requires_grad_() for name, size in sizes.items() if size.ndim > 1}
    ones = torch.ones_like(batch[0][:1], dtype=torch.float64)
    with _evaluating(module), _Probe("none"):
        total = _main(torch.func.functional_call(module, {**_doubled(module), **sizes}, (ones,))).sum()
    slopes = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    terms = zip(weights.values(), slopes, strict=True)
    return sum(float((weight.detach() * slope).sum()) for weight, slope in terms if slope is not None)


def jacobian_covariance(module: nn.Module, batch: Batch) -> float | None:
    """Minus the sum of log(v + k) + 1/(v + k) over eigenvalues v of the correlations of the images' Jacobians.

    The Jacobian of an image is the gradient of the summed outputs by its pixels; k is 1e-5. The more alike the
    Jacobians, the less. In double precision, since eigenvalues may be as good as 0. `None` where one of them is
    constant. Source: Mellor et al., Neural architecture search without training, first version, 2020 (jacob_cov).
    """
    images = batch[0].detach().double().requires_grad_()
    with _evaluating(module), _Probe("batch"):
        total = _main(torch.func.functional_call(module, _doubled(module), (images,))).sum()
    (slopes,) = torch.autograd.grad(total, images)
    correlations = torch.corrcoef(slopes.flatten(1))
    if not bool(correlations.isfinite().all()):
        return None
    values = torch.linalg.eigvalsh(correlations) + _JACOBIAN_SHIFT
    return -float((values.log() + 1 / values).sum()) if bool((values > 0).all()) else None


def naswot(module: nn.Module, batch: Batch) -> float | None:
    """Log determinant of K, K_ij the number of rectifiers that images i and j switch alike.

    Rectifiers are ReLU and its smooth kin, on where their input is positive. `None` where K is singular, as for a
    batch that holds an image twice. Source: Mellor et al., Neural architecture search without training, ICML 2021.
    """
    probe = _Probe("batch")
    with torch.no_grad(), _evaluating(module), probe:
        module(batch[0])
    if not probe.codes:
        return None
    count = len(batch[0])
    alike = torch.zeros(count, count, dtype=torch.float64)
    for code in probe.codes:
        on = code.float()
        off = 1 - on
        alike += (on @ on.T + off @ off.T).double().cpu()
    if int(torch.linalg.matrix_rank(alike, hermitian=True)) < count:
        return None
    return float(torch.linalg.slogdet(alike).logabsdet)


def gradient_norm(module: nn.Module, batch: Batch) -> float:
    """Sum over weights of the Euclidean norm of the gradient of the cross entropy.

    Weights are parameters of two axes and more. Source: Abdelfattah et al., Zero-cost proxies for lightweight NAS,
    ICLR 2021.
    """
    images, target = batch
    with _evaluating(module), _Probe("batch"):
        loss = functional.cross_entropy(_main(module(images)), target)
    weights = [tensor for tensor in module.parameters() if tensor.ndim > 1]
    slopes = torch.autograd.grad(loss, weights, allow_unused=True)
    return sum(float(slope.norm()) for slope in slopes if slope is not None)


SCORES: dict[str, Score] = {
    "synflow": synflow,
    "jacobian_covariance": jacobian_covariance,
    "naswot": naswot,
    "gradient_norm": gradient_norm,
}


def zero_cost_scores(network: Network, batch: Batch, *, seed: int = 0) -> dict[str, float | None]:
    """Every score of `network` by name, with its MACs, parameters and DeepMAD's entropy.

    batch: images of the task, resized to the network's resolution here. seed: of the initial weights, whose norms all
    have scale 1: a branch whose norm begins at 0 would be invisible. `None` for what the network does not have.
    """
    images, target = batch
    module = _fresh(network, seed).to(images.device)
    ready = (fitted(images, network), target)
    total = count_network(network).total
    scores: dict[str, float | None] = {"macs": float(total["macs"]), "params": float(total["params"])}
    try:
        scores["entropy"] = network_entropy(network).entropy
    except NasError:
        scores["entropy"] = None
    return scores | {name: score(module, ready) for name, score in SCORES.items()}


def _fresh(network: Network, seed: int) -> NetworkModule:
    module = NetworkModule(network, seed=seed)
    own = module.weights()
    with torch.no_grad():
        for node in network.nodes:
            if isinstance(node.op, (BatchNorm, Scale)):
                own[node.weights_path]["weight"].fill_(1.0)
    return module


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Within, `module` and its parts are in evaluation mode; what they count while training stands still."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _doubled(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of `module` by name, floating ones in double precision and without gradients."""
    held = {**dict(module.named_buffers()), **dict(module.named_parameters())}
    return {name: _double(tensor.detach()) for name, tensor in held.items()}


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _main(output: Tensor | dict[str, Tensor]) -> Tensor:
    return next(iter(output.values())) if isinstance(output, dict) else output

"""Parts of an exported file that are the same in every export: layers that PyTorch lacks, and the doors."""

from typing import TYPE_CHECKING

from nas.export.text import INDENT
from search_spaces.operators import Shape

if TYPE_CHECKING:
    from nas.export.source import Normalisation

SPARSE_MASK = '''\
def sparse_mask(weight: Tensor, sparsity: float) -> Tensor | None:
    """Which weights are kept: the largest, all but a share of `sparsity`."""
    if sparsity == 0:
        return None
    order = weight.detach().abs().flatten().argsort()
    mask = torch.ones(order.numel(), dtype=torch.bool)
    mask[order[: int(sparsity * order.numel())]] = False
    return mask.view(weight.shape)'''

PATTERN_MASK = '''\
def sparse_mask(weight: Tensor, sparsity: float | str) -> Tensor | None:
    """Which weights are kept: the largest, all but a share (0.5), or N of every M along the inputs ("2:4")."""
    if sparsity == 0:
        return None
    size = weight.detach().abs()
    if isinstance(sparsity, str):
        kept, group = map(int, sparsity.split(":"))
        size = size.movedim(1, -1)
        rows = functional.pad(size.flatten(), (0, -size.numel() % group), value=-1.0).view(-1, group)
        mask = rows.argsort(dim=1, descending=True, stable=True).argsort(dim=1) < kept
        return mask.flatten()[: size.numel()].view(size.shape).movedim(-1, 1).contiguous()
    order = size.flatten().argsort()
    mask = torch.ones(order.numel(), dtype=torch.bool)
    mask[order[: int(sparsity * order.numel())]] = False
    return mask.view(weight.shape)'''

SPARSE_LAYER = '''\
class Sparse{base}(nn.{base}):
    """{what} some of whose weights stay zero through training; `mask` is saved with the weights."""

    mask: Tensor | None

    def __init__(self, *args: Any, sparsity: {kind} = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("mask", sparse_mask(self.weight, sparsity))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.mask is None or not self.training else self.weight * self.mask
        return {call}

    def train(self, mode: bool = True) -> Self:
        if self.mask is not None:
            with torch.no_grad():
                self.weight.mul_(self.mask)
        return super().train(mode)'''

CHANNEL_NORM = '''\
class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)'''

RESPONSE_NORM = '''\
class ResponseNorm(nn.Module):
    """Global response normalisation: channels scaled by their size beside that of the others (Woo et al. 2023)."""

    def __init__(self, channels: int, *, bias: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(x, dim=tuple(range(2, x.dim())), keepdim=True)
        shape = (-1, *[1] * (x.dim() - 2))
        factor = 1 + self.weight.view(shape) * (size / (size.mean(dim=1, keepdim=True) + self.eps))
        return x * factor if self.bias is None else torch.addcmul(self.bias.view(shape), x, factor)'''

CHANNEL_CONV = '''\
class ChannelConv(nn.Module):
    """A convolution along the channels of a pooled map."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernel_size) * kernel_size**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.view(1, 1, -1)
        return functional.conv1d(x.flatten(1).unsqueeze(1), kernel, padding=kernel.shape[2] // 2).view(x.shape)'''

SCALE = '''\
class Scale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, channels: int, *, init: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(-1, *[1] * (x.dim() - 2))'''

BLEND = '''\
class Blend(nn.Module):
    """Two maps mixed by a learned share per channel."""

    def __init__(self, channels: int, *, init: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), init))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(y, x, self.weight.view(-1, *[1] * (x.dim() - 2)))'''

REVERSIBLE = "Reversible"
BACKWARDS = '''\
class Backwards(torch.autograd.Function):
    """Runs couplings and keeps their result alone; the backward pass goes back from it, coupling by coupling."""

    @staticmethod
    def forward(ctx: Any, couplings: list[nn.Module], x: Tensor, y: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        for coupling in couplings:
            y, x = coupling(x, y)
        ctx.couplings = couplings
        ctx.save_for_backward(x, y)
        return y, x

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, grad_x: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        grads: dict[Tensor, Tensor] = {}
        for coupling in reversed(ctx.couplings):
            out, back = Backwards.through(coupling.g, y, grad_x, grads)
            x, grad_y = x - out, grad_y + back
            out, back = Backwards.through(coupling.f, x, grad_y, grads)
            y, grad_x = y - out, grad_x + back
        parameters = (p for coupling in ctx.couplings for p in coupling.parameters())
        return (None, grad_x, grad_y, *(grads.get(p) for p in parameters))

    @staticmethod
    def through(branch: nn.Module, x: Tensor, grad: Tensor, grads: dict[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Output of a branch and the gradient of its input; those of its parameters go into `grads`."""
        parameters = [p for p in branch.parameters() if p.requires_grad]
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = branch(x)
        back, *found = torch.autograd.grad(out, [x, *parameters], grad)
        for parameter, new in zip(parameters, found, strict=True):
            grads[parameter] = grads[parameter] + new if parameter in grads else new
        return out.detach(), back'''

REVERSIBLE_BASE = '''\
class Reversible(nn.Module):
    """Couplings of two tensors: y += f(x), then x += g(y) (Gomez et al. 2017); training keeps the last ones only."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        couplings = list(self.children())
        if self.training and torch.is_grad_enabled():
            return Backwards.apply(couplings, x, y, *self.parameters())
        for coupling in couplings:
            y, x = coupling(x, y)
        return y, x'''

INITIALISE = '''\
def initialise(module: nn.Module) -> None:
    """Draw the weights of a layer (He et al. 2015); norms keep their start, zero at the end of a residual branch."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)'''


def helper_texts(*, patterns: bool) -> dict[str, str]:
    """Source of each helper, in the order they are written in; `patterns` lets sparsity be an N:M pattern."""
    sparse = {f"Sparse{base}": _sparse(base, patterns=patterns) for base in ("Conv1d", "Conv2d", "Conv3d", "Linear")}
    return {
        "sparse_mask": PATTERN_MASK if patterns else SPARSE_MASK,
        **sparse,
        "ChannelNorm": CHANNEL_NORM,
        "ResponseNorm": RESPONSE_NORM,
        "ChannelConv": CHANNEL_CONV,
        "Scale": SCALE,
        "Blend": BLEND,
        "Backwards": BACKWARDS,
        REVERSIBLE: REVERSIBLE_BASE,
        "initialise": INITIALISE,
    }


def _sparse(base: str, *, patterns: bool) -> str:
    what = "A linear layer" if base == "Linear" else "A convolution"
    call = "self._conv_forward(x, weight, self.bias)"
    if base == "Linear":
        call = "functional.linear(x, weight, self.bias)"
    return SPARSE_LAYER.format(base=base, what=what, call=call, kind="float | str" if patterns else "float")


def preprocess_lines(shape: Shape, normalisation: "Normalisation | None") -> list[str]:
    """Lines of `preprocess` for inputs of `shape` (channels, *spatial)."""
    axes = "n, channels, height, width" if len(shape) == 3 else "n, channels, ..."
    size = f"{shape[1]} x {shape[2]}, " if len(shape) == 3 else ""
    lines = [
        "def preprocess(images: Tensor) -> Tensor:",
        f'{INDENT}"""Images uint8 [{axes}] as the network takes them: {size}normalised."""',
        f"{INDENT}x = images.float()",
    ]
    if len(shape) == 3:
        lines += [
            f"{INDENT}if x.shape[2:] != {tuple(shape[1:])}:",
            f'{INDENT * 2}x = functional.interpolate(x, size={tuple(shape[1:])}, mode="bilinear", antialias=True)',
        ]
    if normalisation is None:
        return [*lines, f"{INDENT}return x / 255"]
    ones = ", 1" * (len(shape) - 1)
    for name, values in (("mean", normalisation.mean), ("std", normalisation.std)):
        numbers = ", ".join(f"{value:.8g}" if value != int(value) else f"{value:.1f}" for value in values)
        lines.append(f"{INDENT}{name} = torch.tensor([{numbers}], device=x.device).view(-1{ones})")
    return [*lines, f"{INDENT}return (x / 255 - mean) / std"]


def load_lines() -> list[str]:
    """Lines of `load`."""
    return [
        'def load(path: str | Path = "weights.safetensors") -> Network:',
        f'{INDENT}"""The network with the weights saved at `path`, ready to predict; call `.train()` to train it."""',
        f"{INDENT}network = Network()",
        f"{INDENT}load_model(network, path)",
        f"{INDENT}return network.eval()",
    ]

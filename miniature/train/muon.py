"""The Muon optimiser in the precision of its weights, beside AdamW for what is no matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised matrix updates (Jordan et al., 2024).

    torch's own runs the iteration in bfloat16, which processors without it emulate very slowly.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, decay: float = 0.02) -> None:
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update; the scale matches the size of AdamW's."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 0.05)
                update = _orthogonal(weight.grad.lerp(momentum, 0.95))
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(weight.shape)))


def optimizers(
    parameters: Mapping[str, nn.Parameter],
    inner: Callable[[str], bool],
    rate: float,
    other_rate: float,
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the parameters with an inner name, AdamW for all else."""
    matrices = [p for name, p in parameters.items() if p.ndim == 2 and inner(name)]
    chosen = {id(p) for p in matrices}
    others = [p for p in parameters.values() if id(p) not in chosen]
    adam = torch.optim.AdamW(others, lr=other_rate, weight_decay=0.01)
    found = [Muon(matrices, lr=rate), adam]
    for optimizer in found:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return found


def step_all(
    optims: Sequence[torch.optim.Optimizer], parameters: Sequence[nn.Parameter], share: float
) -> None:
    """Clip the gradients and step at this share of the peak rates."""
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optims:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _orthogonal(matrix: Tensor) -> Tensor:
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x

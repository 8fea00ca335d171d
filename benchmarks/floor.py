"""The least time a machine can need: operations over its rate, or bytes over its bandwidth.

Both rates are measured here, on products of the model's own sizes and on a plain copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks import common
from benchmarks.stand_ins import Shape

_ROUNDS = 5


@dataclass(frozen=True)
class Floor:
    """The machine's best rates."""

    operations: float  # floating-point, a second, of a large matrix product
    bandwidth: float  # bytes a second, read or written
    width: int  # bytes of one weight

    def least(self, operations: float, read: float) -> dict[str, Any]:
        """Seconds that so many operations and bytes need at least."""
        compute, memory = operations / self.operations, read / self.bandwidth
        return {
            "seconds": round(max(compute, memory), 6),
            "compute": round(compute, 6),
            "memory": round(memory, 6),
            "operations": operations,
            "bytes": read,
        }


def measure_rates(inner: int, outer: int, device: str) -> Floor:
    """The machine's rates, its products those of a model of that width and inner width."""
    import torch

    kind = torch.float32 if device == "cpu" else torch.float16
    rows = 600 if device == "cpu" else 4096
    left = torch.randn(rows, inner, device=device, dtype=kind)
    right = torch.randn(inner, outer, device=device, dtype=kind)
    size = 64_000_000 if device == "cpu" else 1_000_000_000
    block = torch.zeros(size // 4, device=device)
    other = torch.empty_like(block)
    times = 20

    def products() -> None:
        for _ in range(times):
            left @ right

    ways = {"product": products, "copy": lambda: other.copy_(block)}
    timed = common.in_turn(ways, _ROUNDS, device)
    return Floor(
        operations=times * 2 * rows * inner * outer / timed["product"]["least"],
        bandwidth=2 * size / timed["copy"]["least"],
        width=4 if device == "cpu" else 2,
    )


def forward(weights: int, layers: int, width: int, tokens: int, size: int) -> tuple[float, float]:
    """Operations and bytes of one causal forward of a language model's layers.

    `weights` are the numbers in all layers, `width` is that of all heads together, and `size` the
    bytes of a number.
    """
    operations = 2 * tokens * weights + layers * 2 * width * tokens**2
    return float(operations), float(weights * size)


def needed(shape: Shape, prefix: int, asked: int, width: int) -> tuple[float, float]:
    """Operations and bytes of weights from a picture's patches to the deepest head's rows.

    All layers up to the deepest head's; of that one only queries and keys (values are cached with
    them). Causal attention counts half of its square. `prefix` and `asked` are the tokens up to the
    picture's end and of all phrases, `width` the bytes of a weight.
    """
    tokens, deep = prefix + asked, shape.deepest
    layer = 4 * shape.hidden**2 + 3 * shape.hidden * shape.intermediate
    last = 3 * shape.hidden**2
    attention = 2 * shape.hidden * (prefix**2 + 2 * asked * prefix)
    depth, wide, _, side, patch = shape.vision
    patches = (side // patch) ** 2 + 1
    block = 12 * wide**2
    projector = wide * shape.hidden + shape.hidden**2
    operations = 2 * tokens * (deep * layer + last) + deep * attention
    operations += depth * (2 * patches * block + 4 * wide * patches**2) + 2 * patches * projector
    weights = deep * layer + last + depth * block + projector
    return float(operations), float(weights * width)

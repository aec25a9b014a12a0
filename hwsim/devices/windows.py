"""What the windows of a convolution touch."""

from __future__ import annotations

from hwsim.workload.operators import Conv2d


def touched_bytes(conv: Conv2d, size_bytes: int) -> int:
    """Of so many bytes of feature maps, those that some window touches: a stride longer than the window jumps
    over rows and columns."""
    for extent, outputs, window, stride, dilation in (
        (conv.H, conv.P, conv.R, conv.stride[0], conv.dilation[0]),
        (conv.W, conv.Q, conv.S, conv.stride[1], conv.dilation[1]),
    ):
        span = (window - 1) * dilation + 1
        touched = outputs * span if span < stride else (outputs - 1) * stride + span
        size_bytes = size_bytes * min(extent, touched) // extent
    return size_bytes

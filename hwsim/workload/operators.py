"""Operators: what devices run. Each has a problem, the named loop bounds that decide its work.

N and K mean different things in conv2d (batch, output channels) and matmul (columns, reduction), as the
field writes them. A problem is hashable: equal problems cost the same on the same device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

Pair = tuple[int, int]
Attributes = tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Conv2d:
    """out[N,K,P,Q] = sum over C/groups,R,S of in[N,C,H,W] * w[K,C/groups,R,S].
    `pad` is (top, left, bottom, right)."""

    kind: ClassVar[str] = "conv2d"
    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    P: int
    Q: int
    groups: int = 1
    stride: Pair = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)

    @property
    def macs(self) -> int:
        return self.N * self.K * self.P * self.Q * (self.C // self.groups) * self.R * self.S


@dataclass(frozen=True, slots=True)
class Matmul:
    """out[B,M,N] = a[B,M,K] b[B,K,N]; `b` is shared by the batch when its tensor has no batch (then B is 1
    and the batch is folded into M)."""

    kind: ClassVar[str] = "matmul"
    B: int
    M: int
    N: int
    K: int

    @property
    def macs(self) -> int:
        return self.B * self.M * self.N * self.K


@dataclass(frozen=True, slots=True)
class Pool:
    """Max or average pooling with an R x S window; `pad` is (top, left, bottom, right). A global pool has
    R, S = H, W."""

    kind: ClassVar[str] = "pool"
    function: str  # "max" or "average"
    N: int
    C: int
    H: int
    W: int
    R: int
    S: int
    P: int
    Q: int
    stride: Pair = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    count_include_pad: bool = False
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Elementwise:
    """`elements` results of a pointwise function of `operands` tensors (broadcast as numpy does)."""

    kind: ClassVar[str] = "elementwise"
    function: str  # add mul sub div relu sigmoid tanh clip leaky_relu ... batch_norm
    elements: int
    operands: int = 1
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Softmax:
    """Softmax over `cols` of each of `rows` rows."""

    kind: ClassVar[str] = "softmax"
    rows: int
    cols: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Lrn:
    """Local response normalisation over `size` neighbouring channels."""

    kind: ClassVar[str] = "lrn"
    elements: int
    size: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Move:
    """`elements` elements copied to another place: concat, transpose, pad, slice."""

    kind: ClassVar[str] = "move"
    function: str
    elements: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class View:
    """The same elements under another shape: reshape, flatten, squeeze, identity, dropout at inference.
    Nothing moves, so a view costs nothing by definition; it is listed all the same."""

    kind: ClassVar[str] = "view"
    function: str
    elements: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """Network inputs or outputs between the outside and a device. No front end makes one: the pipeline puts
    them around a workload. `direction` is "in", "out" or "background" (traffic of neighbouring batches that
    shares the link while this one computes); `to_memory` when the tensor has no room on chip."""

    kind: ClassVar[str] = "transfer"
    direction: str
    size_bytes: int
    to_memory: bool = False
    out_bytes: int = 0  # of the background only: what it sends beside what it receives
    macs: ClassVar[int] = 0


OperatorProblem = Conv2d | Matmul | Pool | Elementwise | Softmax | Lrn | Move | View | Transfer


@dataclass(frozen=True, slots=True)
class Step:
    """A pointwise step fused behind a conv2d or matmul: bias, relu, sigmoid ... `tensor` is its operand."""

    function: str
    tensor: str = ""
    attributes: Attributes = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a workload. `inputs` and `output` name tensors: (x, w) for conv2d, (a, b) for matmul.
    `layer` is what the person wrote or imported; `attributes` hold what only the numbers need
    (a transposition's axes, LRN's alpha, trans_b of a matmul)."""

    name: str
    problem: OperatorProblem
    inputs: tuple[str, ...]
    output: str
    layer: str = ""
    epilogue: tuple[Step, ...] = ()
    attributes: Attributes = ()

    @property
    def kind(self) -> str:
        return self.problem.kind

    @property
    def macs(self) -> int:
        return self.problem.macs

"""Operators: what devices run. Each has a problem, the named loop bounds that decide its work.

N and K mean different things in conv2d (batch, output channels) and matmul (columns, reduction), as the
field writes them. A problem is hashable: equal problems cost the same on the same device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hwsim.workload.problems import Append, Attention, Fold, Gather, Norm, Pair, Reduce, Resize
from hwsim.workload.recurrent import GATES, Recurrent

__all__ = [
    "GATES", "WINOGRAD_OPERATIONS", "Append", "Attention", "Attributes", "Conv2d", "Elementwise", "Fold",
    "Gather", "Lrn", "Matmul", "Move", "Norm", "Operator", "OperatorProblem", "Pair", "Pool", "Recurrent",
    "Reduce", "Resize", "Softmax", "Step", "Transfer", "View", "WinogradTransform",
]  # fmt: skip

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
    """Softmax over `cols` of each of `rows` rows. Inputs: x and, where it is `masked`, what is added to x
    (after the attribute `scale` has multiplied it), broadcast as numpy does. The attributes `causal`,
    `window` and `queries` leave out columns: row i is query i mod `queries` and sees what `Attention`
    says."""

    kind: ClassVar[str] = "softmax"
    rows: int
    cols: int
    masked: bool = False
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
    """`elements` elements copied to another place: concat, transpose, pad, slice; or in another number
    format: convert, which devices that share a network put between them."""

    kind: ClassVar[str] = "move"
    function: str
    elements: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class View:
    """The same elements under another shape: reshape, flatten, squeeze, identity, dropout at inference; or
    those of some rows that lie together (the attribute `rows` has the first and the end).
    Nothing moves, so a view costs nothing by definition; it is listed all the same."""

    kind: ClassVar[str] = "view"
    function: str
    elements: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """Network inputs or outputs between the outside and a device, or results between two devices. No front
    end makes one: the pipeline puts them around operators. `direction` is "in", "out" or "background", the
    traffic of neighbouring batches that shares the link while this one computes; where devices share a
    network, "send" and "receive" are what a transfer is at its ends and "link" the whole of it. `to_memory`
    when the tensor has no room on chip."""

    kind: ClassVar[str] = "transfer"
    direction: str
    size_bytes: int
    to_memory: bool = False
    out_bytes: int = 0  # of the background only: what it sends beside what it receives
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class WinogradTransform:
    """One side of a 3x3 convolution by Winograd's minimal filtering F(m x m, 3x3), with m = `tile`
    (Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, sec. 4.1).

    "input": every (m + 2) x (m + 2) patch d of the padded map [N, C, H, W] becomes B^T d B; the result is
    [(m + 2)^2 groups, tiles, C / groups], places of the patch outermost. "output": products laid out so
    become A^T y A, the map [N, C, P, Q]; what hangs over its edges is dropped. H, W and `pad` (top, left,
    bottom, right) are those of the convolution, P and Q its results."""

    kind: ClassVar[str] = "winograd"
    direction: str
    tile: int
    N: int
    C: int
    H: int
    W: int
    P: int
    Q: int
    groups: int = 1
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    macs: ClassVar[int] = 0

    @property
    def places(self) -> int:
        """Numbers of one patch: the multiplications of one tile of one pair of channels."""
        return (self.tile + 2) ** 2

    @property
    def tiles(self) -> int:
        """Tiles of m x m results that cover all maps of one channel."""
        return self.N * -(-self.P // self.tile) * -(-self.Q // self.tile)

    @property
    def operations(self) -> int:
        """Additions and multiply-additions of the transform, edge tiles whole."""
        return self.tiles * self.C * WINOGRAD_OPERATIONS[self.tile][self.direction]


# Of one tile of one channel, in the factored form of Lavin & Gray: a one-dimensional transform of the input
# takes 4 additions for m = 2, and 12 for m = 4, 8 of them fused with a multiplication by a constant; of the
# output 4 and 10 (3 fused). The input's is applied to m + 2 rows and m + 2 columns, the output's to m + 2
# columns and m rows: 32 and 24, 144 and 100.
WINOGRAD_OPERATIONS: Mapping[int, Mapping[str, int]] = {
    2: {"input": 4 * (4 + 4), "output": 4 * (4 + 2)},
    4: {"input": 12 * (6 + 6), "output": 10 * (6 + 4)},
}


OperatorProblem = (
    Conv2d
    | Matmul
    | Recurrent
    | Pool
    | Elementwise
    | Softmax
    | Lrn
    | Move
    | Norm
    | Gather
    | Attention
    | Append
    | Reduce
    | Resize
    | Fold
    | View
    | WinogradTransform
    | Transfer
)


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
        """Multiply-accumulates of the layer. Where another algorithm stands in for a convolution, the
        attribute `problem_macs` keeps the convolution's; `problem.macs` are those that are executed."""
        if self.attributes:
            for name, value in self.attributes:
                if name == "problem_macs" and isinstance(value, int):
                    return value
        return self.problem.macs

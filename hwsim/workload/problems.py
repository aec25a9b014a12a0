"""Problems of the operators of sequence networks and of decoders of images: normalisation, lookup, attention,
caches, reductions, and what enlarges feature maps. `operators` lists them with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Norm:
    """`rows` groups of `cols` numbers, each brought to a mean of zero and a variance of one (layer_norm,
    group_norm), or to a mean square of one (rms_norm). `scaled` and `shifted` say whether a constant for each
    column, or for each channel of a group_norm, is multiplied by and then added.

    Ba et al., "Layer normalization", 2016; Zhang & Sennrich, "Root mean square layer normalization", 2019; Wu
    & He, "Group normalization", 2018 (with one channel a group it is instance normalisation)."""

    kind: ClassVar[str] = "norm"
    function: str  # "layer_norm", "rms_norm" or "group_norm"
    rows: int
    cols: int
    scaled: bool = True
    shifted: bool = True
    macs: ClassVar[int] = 0

    @property
    def elements(self) -> int:
        return self.rows * self.cols


@dataclass(frozen=True, slots=True)
class Gather:
    """`rows` rows of `width` elements each, looked up in a table of `table_rows`: an embedding, or tokens in
    the order of their experts. Inputs: table, indices. Only what is looked up moves."""

    kind: ClassVar[str] = "gather"
    rows: int
    width: int
    table_rows: int
    macs: ClassVar[int] = 0

    @property
    def elements(self) -> int:
        return self.rows * self.width


@dataclass(frozen=True, slots=True)
class Attention:
    """Scaled dot-product attention in one operator, whose scores exist only on chip (Vaswani et al.,
    "Attention is all you need", 2017; Dao et al., "FlashAttention", 2022): softmax(scale q k^T + mask) v.

    Inputs: q [B, H, Q, D], k [B, G, S, D], v [B, G, S, V], and with `masked` what is added to the scores,
    broadcast over [B, H, Q, S]. G divides H; H / G neighbouring heads share keys and values (Ainslie et al.,
    "GQA", 2023). The queries are the last Q of the S places where it is `causal` or has a `window`: query i
    stands at place S - Q + i; `causal` lets it see places up to its own, and a `window` of w > 0 only the
    places less than w away. The result is [B, H, Q, V]."""

    kind: ClassVar[str] = "attention"
    B: int
    H: int
    G: int
    Q: int
    S: int
    D: int
    V: int
    causal: bool = False
    window: int = 0
    masked: bool = False

    @property
    def pairs(self) -> int:
        """Pairs of a query and a key that it sees, of one head."""
        if not self.causal and not self.window:
            return self.Q * self.S
        first = self.S - self.Q
        seen = 0
        # Sums of arithmetic series: what a query sees to its left, and to its right and itself.
        reach = self.window or self.S
        seen += _clipped_sum(first, self.Q, reach - 1)
        if self.causal:
            seen += self.Q
        else:
            seen += self.Q + _clipped_sum(0, self.Q, reach - 1)
        return seen

    @property
    def macs(self) -> int:
        """Multiplications of pairs that the mask lets see one another."""
        return self.B * self.H * self.pairs * (self.D + self.V)


def _clipped_sum(first: int, count: int, most: int) -> int:
    """Sum of min(first + i, most) for i from 0 to count - 1."""
    rising = min(count, max(0, most - first))
    return rising * first + rising * (rising - 1) // 2 + (count - rising) * most


@dataclass(frozen=True, slots=True)
class Append:
    """`elements` new elements written into a cache that lies in the device's memory; the rest of it stays
    where it is, so the result shares the cache's storage. Inputs: cache, new."""

    kind: ClassVar[str] = "append"
    elements: int
    macs: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Reduce:
    """`rows` results, each of `cols` elements."""

    kind: ClassVar[str] = "reduce"
    function: str  # "mean", "sum", "max" or "min"
    rows: int
    cols: int
    macs: ClassVar[int] = 0

    @property
    def elements(self) -> int:
        return self.rows


@dataclass(frozen=True, slots=True)
class Resize:
    """A feature map [N, C, H, W] resampled to [N, C, P, Q]; definitions are those of ONNX Resize."""

    kind: ClassVar[str] = "resize"
    function: str  # "nearest" or "linear"
    N: int
    C: int
    H: int
    W: int
    P: int
    Q: int
    macs: ClassVar[int] = 0

    @property
    def elements(self) -> int:
        return self.N * self.C * self.P * self.Q

    @property
    def taps(self) -> int:
        """Elements of the input that one result is made of."""
        return 1 if self.function == "nearest" else 4


@dataclass(frozen=True, slots=True)
class Fold:
    """Windows laid over one another and added: the second half of a transposed convolution, whose first half
    makes for each place of the map [N, C, H, W] a window of K R S numbers (Dumoulin & Visin, "A guide to
    convolution arithmetic", 2016, ch. 4). Inputs: x [N, K R S, H, W] and, where there is one, the bias [K].
    The result is [N, K, P, Q]; `pad` (top, left, bottom, right) is cut off."""

    kind: ClassVar[str] = "fold"
    N: int
    K: int
    H: int
    W: int
    R: int
    S: int
    P: int
    Q: int
    stride: Pair = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    macs: ClassVar[int] = 0

    @property
    def elements(self) -> int:
        return self.N * self.K * self.P * self.Q

    @property
    def additions(self) -> int:
        """Elements of all windows: each is added once."""
        return self.N * self.K * self.H * self.W * self.R * self.S

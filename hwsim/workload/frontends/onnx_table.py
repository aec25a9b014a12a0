"""All ONNX operators that hwsim knows where the network computes them, and why some others are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_einsum import lower_einsum
from hwsim.workload.frontends.onnx_graph import Node
from hwsim.workload.frontends.onnx_images import IMAGES
from hwsim.workload.frontends.onnx_integer_sums import INTEGER_SUMS
from hwsim.workload.frontends.onnx_layers import LAYERS
from hwsim.workload.frontends.onnx_masks import MASKS
from hwsim.workload.frontends.onnx_moves import MOVES, keeps_whole
from hwsim.workload.frontends.onnx_quantised import QUANTISED
from hwsim.workload.frontends.onnx_recurrent import RECURRENT
from hwsim.workload.frontends.onnx_sequences import SEQUENCES

__all__ = ["LOWER", "REFUSED", "keeps_whole"]

LOWER: Mapping[str, Callable[[Lowering, Node], None]] = {
    **LAYERS, **MOVES, **IMAGES, **RECURRENT, **SEQUENCES, **MASKS, **QUANTISED, **INTEGER_SUMS,
    "Einsum": lower_einsum,
}  # fmt: skip

REFUSED: Mapping[str, str] = {
    "TopK": "how much it moves depends on the numbers; cut the network before it",
    "NonMaxSuppression": "how much it keeps depends on the numbers; cut the network before it",
    "NonZero": "how much it finds depends on the numbers",
    "Scan": "export its steps unrolled",
    "ArgMax": "known only at the very end, where it is left to the host",
    "ArgMin": "known only at the very end, where it is left to the host",
    "ScatterND": "it writes where the numbers say",
    "ScatterElements": "it writes where the numbers say",
    "GatherND": "it reads where the numbers say",
    "GatherElements": "it reads where the numbers say",
}

"""Compression of transformers: each step that has something to do leaves a network that runs and verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.compress import compress
from hwsim.compress.quantise import quantise
from hwsim.errors import SpecError
from hwsim.pipeline import verify
from hwsim.workload import Workload
from hwsim.workload.lowering import explicit_patches
from tests.cached_products import convolution
from tests.sequences import decoder
from tests.transformer_block import encoder

FORMATS = Path(__file__).parents[2] / "formats.yaml"
ARRAY = ("array.rows=32", "array.cols=32", "accumulators.rows=256")
WORKS = ("deep_compression", "int8_per_channel", "prune_90", "share_4bit", "sparse_2to4")


def network(name: str) -> Workload:
    made = {"encoder": encoder, "prefill": lambda: decoder(queries=9), "decode": lambda: decoder(past=7)}
    return made[name]().astype("fp32")


@pytest.mark.parametrize("recipe", WORKS)
@pytest.mark.parametrize("name", ["encoder", "prefill", "decode"])
def test_a_compressed_transformer_verifies(name: str, recipe: str) -> None:
    """On an array its attention is products and a softmax; on a GPU and a CPU it is one operator."""
    small = compress(network(name), recipe).workload
    for design in (FORMATS, "a100", "xeon_e5_2699v3"):
        found = verify(small, design, overrides=ARRAY if isinstance(design, Path) else ())
        assert not found.unexecuted
        assert min(found.output_sqnr_db.values()) > (20 if "int8" in recipe else 100)


def test_indices_get_no_grid() -> None:
    found = quantise(network("prefill"), "int8")
    assert found.tensors["tokens"].quantisation is None
    assert found.tensors["tokens"].dtype == network("prefill").tensors["tokens"].dtype
    assert found.tensors["embedding"].quantisation is not None


def test_parts_of_a_lowered_layer_lie_on_its_grid() -> None:
    """A convolution whose patches are copied ends in moves of its result."""
    found = explicit_patches(quantise(convolution(1, 3, 8, 8, 4, 3), "int8"))
    assert found.tensors["y.product"].quantisation == found.tensors["y"].quantisation
    assert found.tensors["y.patches"].quantisation is None
    assert verify(found, FORMATS, overrides=ARRAY).bit_exact


@pytest.mark.parametrize("recipe", ["low_rank_2x", "winograd_2x2"])
def test_what_has_nothing_to_do_is_said(recipe: str) -> None:
    with pytest.raises(SpecError, match="has nothing to do in encoder"):
        compress(network("encoder"), recipe)

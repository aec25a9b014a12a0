"""Layers of sequence networks, as a workload file holds them: a spec class for each kind. All take
[batch, places, width] but where they say else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hwsim.schema import field
from hwsim.workload.frontends.layer_base import Extent, Layer, Size

Projection = Literal["query", "key", "value", "output"]
Function = Literal["relu", "gelu", "gelu_tanh", "silu", "tanh"]


class Embedding(Layer):
    """A row of a trained table for each of its indices: [batch, places] makes [batch, places, width]."""

    kind: Literal["embedding"]
    vocab: Size = field("Rows of the table: how many tokens there are.")
    width: Size = field("Numbers of a row.")
    weight_of: str | None = field(
        "A layer before it whose table it shares, as two languages of one vocabulary do.",
        default=None,
        when_absent="it has a table of its own",
    )


class Positional(Layer):
    """Adds to each place of a sequence what says where it stands."""

    kind: Literal["positional"]
    form: Literal["learned", "sinusoidal"] = field(
        "Rows of a trained table, or sines and cosines (Vaswani et al., 2017, sec. 3.5).", default="learned"
    )
    places: Size | None = field(
        "Rows of the trained table: the longest sequence; only for the learned form.",
        default=None,
        when_absent="as many as the sequence has",
    )
    start: Size = field("The first place of the sequence: what came before it.", default=0)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.form == "sinusoidal" and self.places is not None:
            yield "places", "is for the learned form: sines and cosines need no table, so leave it out"


class ClassToken(Layer):
    """Puts a trained row before a sequence (Devlin et al., 2019; Dosovitskiy et al., 2021)."""

    kind: Literal["class_token"]


class Attention(Layer):
    """Multi-head attention with its four projections (Vaswani et al., 2017, sec. 3.2). Of two inputs, the
    first gives queries and the second keys and values."""

    kind: Literal["attention"]
    heads: Size = field("Heads of the queries.")
    kv_heads: Size | None = field(
        "Heads of keys and values, shared by as many neighbouring heads of queries each (Ainslie et al., "
        "2023); 1 is multi-query.",
        default=None,
        when_absent="as many as heads",
    )
    head_size: Size | None = field(
        "Numbers of one head.", default=None, when_absent="the width of the input over the heads"
    )
    causal: bool = field("Whether a place sees only itself and those before it.", default=False)
    window: Extent | None = field(
        "How many places back a place sees, itself included.", default=None, when_absent="all"
    )
    rotary: bool = field(
        "Whether queries and keys are turned by angles that grow with their place (Su et al., 2021).",
        default=False,
    )
    rotary_base: float = field("Base of the angles; that of Su et al.", default=10_000.0, gt=1)
    bias: bool | tuple[Projection, ...] = field(
        "Whether trained numbers are added behind the projections, or behind which of them.", default=True
    )
    scale: float | None = field(
        "What the scores are multiplied by.",
        default=None,
        when_absent="1 over the square root of the size of a head",
        gt=0,
    )
    cache: Size | None = field(
        "Places whose keys and values earlier runs left in memory, 0 for a first run; those of this run's "
        "places are written behind them.",
        default=None,
        when_absent="nothing is kept",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if len(self.inputs) > len(("queries", "memory")):
            yield "inputs", f"has {len(self.inputs)} names: attention takes a sequence, and one to look at"
        if len(self.inputs) > 1:
            for name in ("cache", "rotary"):
                if getattr(self, name) not in (None, False):
                    yield name, "is for attention to its own sequence: leave it out, or the second input"
        if not self.rotary and self.rotary_base != type(self).model_fields["rotary_base"].default:
            yield "rotary_base", "changes nothing without `rotary: true`"

    @property
    def biased(self) -> tuple[str, ...]:
        """The projections that add a bias."""
        if isinstance(self.bias, tuple):
            return self.bias
        return ("query", "key", "value", "output") if self.bias else ()


class LayerNorm(Layer):
    kind: Literal["layer_norm", "rms_norm"]
    epsilon: float = field("Added before the root; 1e-5 as in most trainers.", default=1e-5, gt=0)
    bias: bool | None = field(
        "Whether a trained number is added to each feature.",
        default=None,
        when_absent="yes for layer_norm, no for rms_norm, as they were published",
    )

    @property
    def shifts(self) -> bool:
        return self.kind == "layer_norm" if self.bias is None else self.bias


class GroupNorm(Layer):
    """Over each group of channels of a feature map; one channel a group is instance normalisation."""

    kind: Literal["group_norm"]
    groups: Size = field("Groups of channels.")
    epsilon: float = field("Added before the root; 1e-5 as in most trainers.", default=1e-5, gt=0)


class FeedForward(Layer):
    """Two linear layers with a function between them; with a gate the function's result is multiplied by a
    third layer's (Shazeer, "GLU variants improve transformer", 2020)."""

    kind: Literal["feed_forward"]
    hidden: Size = field("Features between the two layers.")
    function: Function = field("What stands between them.", default="relu")
    gated: bool = field("Whether a third layer multiplies; with silu that is SwiGLU.", default=False)
    bias: bool = field("Whether each layer adds trained numbers.", default=True)


class Moe(Layer):
    """Feed-forward layers of which each place takes a few, chosen by a router (Shazeer et al., 2017). Which
    are taken is drawn, since it hangs on what the network learnt: see `skew`."""

    kind: Literal["moe"]
    experts: Size = field("How many there are.")
    top: Size = field("How many each place takes: those whose scores are highest.")
    hidden: Size = field("Features between the two layers of one.")
    function: Function = field("What stands between them.", default="silu")
    gated: bool = field("Whether a third layer multiplies; with silu that is SwiGLU.", default=True)
    bias: bool = field("Whether each layer adds trained numbers.", default=False)
    skew: float = field(
        "How uneven the load is: scores are drawn as a standard normal number for each place and expert, "
        "plus this times one for each expert. At 0 experts differ by chance alone.",
        default=0.0,
        ge=0,
        le=100,
    )


SEQUENCE_LAYERS = (
    Embedding, Positional, ClassToken, Attention, LayerNorm, GroupNorm, FeedForward, Moe,
)  # fmt: skip
SequenceLayer = Embedding | Positional | ClassToken | Attention | LayerNorm | GroupNorm | FeedForward | Moe

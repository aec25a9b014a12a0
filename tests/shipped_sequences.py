"""Hand-worked counts of shipped sequence networks, from the equations of their papers. They share no code
with the shape rules. A case is the exact (MACs, parameters), and both as published, with the source."""

from __future__ import annotations

from tests.shipped_images import Case, Counts, added, counted


def linear(inputs: int, outputs: int, rows: int, *, bias: bool = True) -> Counts:
    """A product with each of so many rows."""
    return inputs * outputs * rows, inputs * outputs + (outputs if bias else 0)


def table(rows: int, width: int) -> Counts:
    """A lookup multiplies nothing."""
    return 0, rows * width


def norm(width: int, *, bias: bool = True) -> Counts:
    return 0, width * (2 if bias else 1)


def times(count: int, part: Counts) -> Counts:
    return count * part[0], count * part[1]


def attention(
    width: int,
    places: int,
    *,
    seen: int | None = None,
    projected: int | None = None,
    kv_width: int | None = None,
    bias: bool = True,
) -> Counts:
    """Four projections and two products. `seen` is how many pairs of places see one another, of one head;
    keys and values of `projected` places are made, of `kv_width` numbers each."""
    pairs = places * places if seen is None else seen
    keys = linear(width, kv_width or width, places if projected is None else projected, bias=bias)
    return added(times(2, linear(width, width, places, bias=bias)), times(2, keys), (2 * pairs * width, 0))


def gated(width: int, hidden: int, places: int) -> Counts:
    return times(3, linear(width, hidden, places, bias=False))


def forward(width: int, hidden: int, places: int) -> Counts:
    return added(linear(width, hidden, places), linear(hidden, width, places))


def triangle(places: int) -> int:
    """Pairs in which nobody sees what comes after."""
    return places * (places + 1) // 2


def lstm(inputs: int, hidden: int, steps: int, *, biases: int = 2, gates: int = 4) -> Counts:
    weights = gates * hidden * (inputs + hidden)
    return weights * steps, weights + biases * gates * hidden


def bert(width: int, layers: int, places: int) -> Counts:
    layer = added(attention(width, places), forward(width, 4 * width, places), times(2, norm(width)))
    tables = added(table(30522, width), table(512, width), table(2, width), norm(width))
    return added(tables, times(layers, layer), linear(width, width, 1))


def gpt2(places: int, seen: int, told: int) -> Counts:
    layer = added(attention(768, places, seen=seen), forward(768, 3072, places), times(2, norm(768)))
    tables = added(table(50257, 768), table(1024, 768), norm(768))
    # The output projection is the table of tokens.
    return added(tables, times(12, layer), (50257 * 768 * told, 0))


def llama(
    width: int, layers: int, feed_forward: Counts, places: int, seen: int, *, kv_width: int | None = None
) -> Counts:
    layer = added(
        attention(width, places, seen=seen, kv_width=kv_width, bias=False),
        feed_forward,
        times(2, norm(width, bias=False)),
    )
    ends = added(table(32000, width), norm(width, bias=False), linear(width, 32000, 1, bias=False))
    return added(ends, times(layers, layer))


def mixture(places: int) -> Counts:
    """A router and two of eight experts for each place; all eight have parameters."""
    taken = 3 * 4096 * 14336
    router = linear(4096, 8, places, bias=False)
    return added(router, (2 * places * taken, 8 * taken))


def translator(places: int) -> Counts:
    """The base Transformer with as many words on either side and one table of 32768."""
    over = added(attention(512, places, bias=False), norm(512))
    encoder = added(over, forward(512, 2048, places), norm(512))
    back = added(attention(512, places, seen=triangle(places), bias=False), norm(512))
    decoder = added(back, over, forward(512, 2048, places), norm(512))
    return added(times(6, encoder), times(6, decoder), table(32768, 512), (32768 * 512 * places, 0))


def deep_speech() -> Counts:
    """Convolutions over [161, 300] with kernels (41, 11), (21, 11) make [81, 100] and [41, 100]."""
    convs = added(
        (32 * 41 * 11 * 81 * 100, 32 * 41 * 11 + 64),
        (32 * 32 * 21 * 11 * 41 * 100, 32 * 32 * 21 * 11 + 64),
    )
    cells = added(lstm(1312, 1024, 100, gates=3), times(2, lstm(2048, 1024, 100, gates=3)))
    return added(convs, times(2, cells), linear(2048, 29, 100))


def google() -> Counts:
    encoder = added(times(2, lstm(1024, 1024, 30)), lstm(2048, 1024, 30), times(6, lstm(1024, 1024, 30)))
    decoder = added(lstm(1024, 1024, 30), times(7, lstm(2048, 1024, 30)))
    scores = added(times(2, linear(1024, 1024, 30, bias=False)), linear(1024, 1, 900, bias=False))
    ends = added(times(2, table(32000, 1024)), linear(1024, 32000, 30))
    return added(encoder, decoder, scores, (900 * 1024, 0), ends)


def luong() -> Counts:
    side = times(4, lstm(1000, 1000, 30))
    looks = added((2 * 900 * 1000, 0), linear(2000, 1000, 30, bias=False))
    return added(times(2, added(side, table(50000, 1000))), looks, linear(1000, 50000, 30, bias=False))


PROMPT = 512
F7, F70 = gated(4096, 11008, PROMPT), gated(8192, 28672, PROMPT)
ONE7, ONE70 = gated(4096, 11008, 1), gated(8192, 28672, 1)
SEEN = triangle(PROMPT)
PAST = PROMPT + 1  # keys that the one token of a decode step sees, its own with them

# Figures marked * were not read again in their paper when this was written.
SEQUENCES: dict[str, Case] = {
    # "61.1 M" for the base Transformer in table 2 of So et al., The Evolved Transformer, ICML 2019 *.
    "transformer_base": (translator(32), (None, 61.1e6)),
    # "22.5 B" operations, two for a MAC, over 128 tokens and "109 M": table 1 of Sun et al., MobileBERT, ACL
    # 2020 *.
    "bert_base": (bert(768, 12, 128), (22.5e9 / 2, 109e6)),
    # "334 M": table 1 of Lan et al., ALBERT, ICLR 2020 *.
    "bert_large": (bert(1024, 24, 128), (None, 334e6)),
    # "86 M" in table 1 of Dosovitskiy et al.; torchvision lists 17.56 G and 86.57 M.
    "vit_b16": (
        added(
            counted([(3, 768, 16, 14)]),
            table(1, 768),
            table(197, 768),
            norm(768),
            times(12, added(attention(768, 197), forward(768, 3072, 197), times(2, norm(768)))),
            linear(768, 1000, 1),
        ),
        (17.56e9, 86.57e6),
    ),
    # "124 M": openai/gpt-2's DEVELOPERS.md, which corrects the paper's 117 M.
    "gpt2": (gpt2(1024, triangle(1024), 1024), (None, 124.4e6)),
    "gpt2_prefill": (gpt2(PROMPT, SEEN, 1), (None, 124.4e6)),
    "gpt2_decode": (gpt2(1, PAST, 1), (None, 124.4e6)),
    # "6.7 B": table 2 of Touvron et al. 2023a.
    "llama_7b_prefill": (llama(4096, 32, F7, PROMPT, SEEN), (None, 6.7e9)),
    "llama_7b_decode": (llama(4096, 32, ONE7, 1, PAST), (None, 6.7e9)),
    # 68.98 B, as released (huggingface.co/meta-llama/Llama-2-70b-hf, "69B params").
    "llama_70b_prefill": (llama(8192, 80, F70, PROMPT, SEEN, kv_width=1024), (None, 69e9)),
    "llama_70b_decode": (llama(8192, 80, ONE70, 1, PAST, kv_width=1024), (None, 69e9)),
    # "47 B" in all and "13 B" for a token in sec. 1 of Jiang et al.; 46.7 B and 12.9 B in Mistral's
    # announcement (mistral.ai, Mixtral of experts).
    "mixtral_prefill": (llama(4096, 32, mixture(PROMPT), PROMPT, SEEN, kv_width=1024), (None, 46.7e9)),
    "mixtral_decode": (llama(4096, 32, mixture(1), 1, PAST, kv_width=1024), (12.9e9, 46.7e9)),
    # 4096 x 600, 1201 x 2400 and 600 x 8791 in Han et al., EIE, table III, and the table of words.
    "neuraltalk_lstm": (
        added(linear(4096, 600, 1), table(8791, 600), lstm(600, 600, 13), linear(600, 8791, 13)),
        (None, 4096 * 600 + 1201 * 2400 + 600 * 8791 + 8791 * 600),
    ),
    # 52,504,416: Baidu's English network in the Wolfram Neural Net Repository ("Deep Speech 2 Trained on
    # Baidu English Data"), batch norms counted.
    "deepspeech2": (deep_speech(), (None, 52_504_416)),
    # "278 M": GNMT in table 2 of Shazeer et al., Outrageously Large Neural Networks, ICLR 2017 *.
    "gnmt": (google(), (None, 278e6)),
    # "216 M" in sec. 3 of See, Luong, Manning, CoNLL 2016 * ("over 200 million" in its abstract).
    "seq2seq_attention": (luong(), (None, 216e6)),
    # "5 M", "52 M" and "34 M" weights: Jouppi et al., ISCA 2017, table 1.
    "tpu_mlp1": (linear(1118, 4 * 1118, 168, bias=False), (None, 5e6)),
    "tpu_lstm0": (times(6, lstm(1040, 1040, 640, biases=0)), (None, 52e6)),
    "tpu_lstm1": (
        added(times(9, lstm(600, 600, 960, biases=0)), linear(600, 22 * 600, 96, bias=False)),
        (None, 34e6),
    ),
}

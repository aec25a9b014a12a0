"""Codecs: how tensors are stored, with their exact bits, and read again without loss.

    codec = make_codec("csc", index_bits=4, pes=64, codebook_bits=4, huffman=True)
    encoded = codec.encode(values)
    encoded.storage.bits
    decode(encoded.meta, encoded.arrays)  # equals values

Stored bits are those of the streams themselves, each counted once: "values", "index" (gaps, runs, masks,
places), "pointers", "codebook" (table entries), "code tables" (Huffman code lengths) and "header": 32 bits
for each count that a decoder must be told. The shape, the number format and the options are not counted: the
network and the machine state them however its tensors are stored. Nor are the bits that fill the last byte
of a stream.
"""

from hwsim.tensor.codecs.codec import Codec, Encoded
from hwsim.tensor.codecs.csc import Interleaved, interleave
from hwsim.tensor.codecs.table import CODECS, decode, make_codec

__all__ = ["CODECS", "Codec", "Encoded", "Interleaved", "decode", "interleave", "make_codec"]

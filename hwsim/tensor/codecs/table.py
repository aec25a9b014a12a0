"""The codecs there are, found by name and options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hwsim.errors import SpecError
from hwsim.schema.wording import did_you_mean
from hwsim.tensor.codecs.bitmask import Bitmask
from hwsim.tensor.codecs.codebook import Codebook
from hwsim.tensor.codecs.codec import Codec
from hwsim.tensor.codecs.csc import Csc
from hwsim.tensor.codecs.dense import Dense
from hwsim.tensor.codecs.groups import Groups
from hwsim.tensor.codecs.relative import Relative
from hwsim.tensor.codecs.run_length import RunLength
from hwsim.tensor.codecs.streams import damaged
from hwsim.tensor.tensor import Array

CODECS: Mapping[str, type[Codec]] = MappingProxyType(
    {codec.name: codec for codec in (Dense, Csc, Relative, Bitmask, RunLength, Groups, Codebook)}
)


def make_codec(name: str, **options: Any) -> Codec:
    """The codec called `name` with these options. Raises SpecError, with the nearest name, for an unknown
    codec or option, and for a value out of range."""
    codec = CODECS.get(str(name))
    if codec is None:
        raise SpecError(f"unknown codec {name!r}: {_codec_hint(str(name))}")
    known = _options(codec)
    for given in options:
        if given not in known:
            raise SpecError(f"codec {name} has no option {given!r}: {did_you_mean(given, known)}")
    return codec(**options)


def decode(meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> Array:
    """The tensor that `Encoded.meta` and `Encoded.arrays` hold. Raises SpecError for any damage."""
    name, options = meta.get("codec"), meta.get("options")
    if not isinstance(name, str) or name not in CODECS:
        raise damaged("tensor", f"its codec {name!r} is none of {', '.join(CODECS)}")
    if not isinstance(options, Mapping) or set(options) != set(_options(CODECS[name])):
        raise damaged(name, f"its options are not {', '.join(_options(CODECS[name]))}")
    return make_codec(name, **options).restore(meta, arrays)


def _options(codec: type[Codec]) -> list[str]:
    return [field.name for field in dataclasses.fields(codec)]


def _codec_hint(name: str) -> str:
    having = [codec for codec, kind in CODECS.items() if name in _options(kind)]
    return f"{name} is an option of {', '.join(having)}" if having else did_you_mean(name, CODECS)

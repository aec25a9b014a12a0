"""Spec: the base of everything that is read from a YAML file, and the one declaration that each field has.

A declaration holds a sentence, a dimension, a default and bounds. Checking, error messages, `hwsim describe`
and JSON Schema are all made from it. With the tree beside it, the only place that knows pydantic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticUndefined, core_schema

from hwsim.errors import SpecError
from hwsim.schema.declared import Declared, FrozenDict, Origin
from hwsim.schema.editor import field_schema
from hwsim.schema.wording import FORMS, UNLIMITED, did_you_mean, format_quantity, mend, near, one_of, shown
from hwsim.units import EXAMPLES, SUFFIXES, parse_quantity

REQUIRED: Final = PydanticUndefined
FROM_FILE: Final = {"source": "file"}  # validation context: values are as people write them

# The largest value of each dimension: more is a slip, and would overflow the int64 columns of a plan.
LARGEST = {
    "bytes": 10**18, "bytes_per_s": 10**18, "hz": 10**12, "s": 10**9, "w": 10**6, "mm2": 10**6, "nm": 10**4,
}  # fmt: skip
_MAX_QUANTITY_TEXT = 64

Count = Annotated[int, Field(ge=1, le=2**40)]
Percent = Annotated[float, Field(ge=0, le=100)]


def field(
    sentence: str,
    *,
    default: Any = REQUIRED,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    unlimited: bool = False,
    descriptive: bool = False,
    when_absent: str = "",
    limit: str = "",
) -> Any:
    """Declare a field without a unit: a count, word, switch, share, mapping, or a section (another Spec).

    `when_absent` says what None stands for, `limit` why there is an upper bound.
    """
    said = Declared(sentence, False, "", unlimited, descriptive, when_absent, limit)
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    return _declare(said, default, {name: value for name, value in bounds.items() if value is not None})


def quantity(
    sentence: str,
    *,
    default: Any = REQUIRED,
    ge: float | None = None,
    le: float | None = None,
    unlimited: bool = False,
    descriptive: bool = False,
    when_absent: str = "",
) -> Any:
    """Declare a field whose name ends in a unit (`size_bytes`); files hold `size: 24 MiB`, read exactly.

    Default and bounds are in base units. Without bounds a quantity must be above zero.
    """
    bounds = tuple((name, Fraction(value)) for name, value in (("ge", ge), ("le", le)) if value is not None)
    said = Declared(sentence, True, "", unlimited, descriptive, when_absent, "", bounds)
    return _declare(said, default, {})


def _declare(said: Declared, default: Any, bounds: dict[str, Any]) -> Any:
    if isinstance(default, dict):
        default = FrozenDict(default)
    info = Field(default, description=said.sentence, **bounds)
    info.metadata.append(said)  # pydantic carries metadata it does not know along
    return info


def file_key(name: str) -> str:
    """The key in a file for a field's name in code: `bandwidth_bytes_per_s` is written `bandwidth`."""
    suffix, _ = _unit_of(name)
    return name.removesuffix(suffix) if suffix else name


@cache
def file_keys(spec: type[Spec]) -> tuple[str, ...]:
    """The keys that a section of this spec may hold."""
    return tuple(file_key(name) for name in spec.declared)


def _unit_of(name: str) -> tuple[str, str]:
    """The longest unit suffix of a field's name, and its dimension."""
    ends = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    longest = max(ends, key=len, default="")
    return longest, SUFFIXES.get(longest, "")


class ByKind:
    """`Annotated[A | B, by_kind(A, B)]`: the class is chosen by the word in the section's `kind`."""

    def __init__(self, specs: tuple[type[Spec], ...]) -> None:
        self.specs = specs

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        # Words are read only now: a spec that holds itself has no fields yet where it names itself.
        choices = {word: handler.generate_schema(spec) for spec in self.specs for word in kind_words(spec)}
        return core_schema.tagged_union_schema(choices, discriminator="kind")


def by_kind(*specs: type[Spec]) -> ByKind:
    """Choose among specs by their `kind`, a Literal of one or more words. Works from one spec on."""
    return ByKind(specs)


def kind_words(spec: type[Spec]) -> tuple[str, ...]:
    """The words that a spec's `kind` may have."""
    field_info = spec.model_fields.get("kind")
    if field_info is None or get_origin(field_info.annotation) is not Literal:
        return ()
    return get_args(field_info.annotation)


class Spec(BaseModel):
    """Base of all specs: immutable, hashable, refusing unknown keys and values of another type.

    In files (see `load_yaml`) quantities are text with a unit. In code, fields are given by their names, and
    quantities as numbers in base units or text; a fault then raises pydantic.ValidationError (a ValueError).
    Lists are tuples. `check` may yield what cannot be said of one field alone.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=file_key,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    declared: ClassVar[dict[str, Declared]] = {}  # by field name
    _origin: Origin | None = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.declared = {name: _declaration(cls, name) for name in cls.model_fields}

    def check(self) -> Iterator[tuple[str, str]]:
        """Faults between fields, as (path of keys such as 'rows', or nothing for the whole section, message).
        Runs when each field is right."""
        yield from ()

    @property
    def origin(self) -> Origin | None:
        """Where it was read from; None when it was made in code."""
        return self._origin

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; one that is changed is no longer what its file says, and has no origin."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            copy._origin = None  # noqa: SLF001 - a copy of ourselves
        return copy

    @classmethod
    def attribute_of(cls, key: str) -> str | None:
        """The attribute that a key of a file stands for."""
        return next((name for name in cls.declared if file_key(name) == key), None)

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """A copy with other values, each of which is known to be right alone; what fields demand of one
        another is checked. Much quicker than reading a file anew. Raises SpecError."""
        copy = self.model_copy(update=values)
        if faults := [f"{path}: {message}" if path else message for path, message in copy.check()]:
            raise SpecError("; ".join(faults))
        return copy

    def with_origin(self, origin: Origin) -> Self:
        """The same spec, knowing where it is from."""
        copy = self.model_copy()
        copy._origin = origin  # noqa: SLF001 - a copy of ourselves
        return copy

    @property
    def content_hash(self) -> str:
        """SHA-256 over all values, defaults included: equal specs have equal hashes in every process."""
        values = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def _values(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[name] for name in self.declared)

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, about: ValidationInfo) -> Any:
        assert about.field_name is not None
        said = cls.declared[about.field_name]
        written = about.context is not None
        if said.unlimited and value == UNLIMITED:
            return None
        if written and value is None:
            word = f"; write `{UNLIMITED}` if nothing limits it" if said.unlimited else ""
            raise _fault(f"has no value; give one or leave the line out{word}")
        if said.dimension and value is not None:
            whole = _is_whole(cls.model_fields[about.field_name].annotation)
            return _read_quantity(value, said, whole, written)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _freeze(cls, value: Any) -> Any:
        return FrozenDict(value) if type(value) is dict else value

    @model_validator(mode="wrap")
    @classmethod
    def _reword(cls, given: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell pydantic's faults in our words here, where the class and so its keys are known."""
        try:
            spec = handler(given)
        except ValidationError as error:
            faults = [_reworded(cls, found) for found in _without_echoes(cls, error)]
            raise ValidationError.from_exception_data(cls.__name__, faults) from None
        faults = [
            InitErrorDetails(
                type=_fault(message, "hwsim_at" if path else "hwsim_whole"), loc=_steps(path), input=None
            )
            for path, message in spec.check()
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return spec

    @classmethod
    def __get_pydantic_json_schema__(cls, core: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        reference: dict[str, Any] = handler(core)
        schema = handler.resolve_ref_schema(reference)
        for name, said in cls.declared.items():
            info = cls.model_fields[name]
            default = None if info.is_required() else info.default
            key = file_key(name)
            schema["properties"][key] = field_schema(schema["properties"][key], said, default)
        return reference


def _declaration(cls: type[Spec], name: str) -> Declared:
    """The declaration of a field, with the dimension that its name says. Faults here are the programmer's."""
    info = cls.model_fields[name]
    said = next((entry for entry in info.metadata if isinstance(entry, Declared)), None)
    if said is None:
        if name == "kind":
            return Declared("Which kind of thing this section describes.")
        raise TypeError(f"{cls.__name__}.{name} needs a declaration: field(...) or quantity(...)")
    _, dimension = _unit_of(name)
    if said.has_unit != bool(dimension):
        use = "quantity(...) is for names that end in a unit, field(...) for others"
        raise TypeError(f"{cls.__name__}.{name}: {use}")
    return replace(said, dimension=dimension)


def _steps(path: str) -> tuple[str, ...]:
    """The keys of a path such as 'array.rows'; none for the section itself."""
    return tuple(path.split(".")) if path else ()


def _fault(text: str, kind: str = "hwsim") -> PydanticCustomError:
    return PydanticCustomError(kind, "{text}", {"text": text})


def _is_whole(annotation: Any) -> bool:
    return annotation is int or int in get_args(annotation)


def _read_quantity(value: Any, said: Declared, whole: bool, written: bool) -> int | float:
    """A quantity in base units. From files only text is taken, so that no unit is ever guessed."""
    example = EXAMPLES[said.dimension]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str) and (written or not number):
        word = f" or `{UNLIMITED}`" if said.unlimited else ""
        lack = f"{shown(value)} has no unit" if number else f"must be a quantity, not {shown(value)}"
        raise _fault(f"{lack}; write for example '{example}'{word}")
    if isinstance(value, str) and len(value) > _MAX_QUANTITY_TEXT:
        raise _fault(f"{shown(value)} is too long for a quantity; write for example '{example}'")
    if isinstance(value, str):
        try:
            exact = parse_quantity(value, said.dimension)
        except ValueError as error:
            hint = f" (or `{UNLIMITED}`)" if said.unlimited and not any(c.isdigit() for c in value) else ""
            raise _fault(f"{error}{hint}") from None
    elif value != value or value in (float("inf"), float("-inf")):
        raise _fault(f"must be finite, not {value}")
    else:
        exact = Fraction(value)
    _check_bounds(exact, value, said)
    if not whole:
        return float(exact)
    if exact.denominator != 1:
        raise _fault(f"{shown(value)} is not a whole number of {_BASE[said.dimension]}")
    return int(exact)


_BASE = {
    "bytes": "bytes", "bytes_per_s": "bytes a second", "hz": "hertz", "s": "seconds", "w": "watts",
    "mm2": "square millimetres", "nm": "nanometres",
}  # fmt: skip


def _check_bounds(exact: Fraction, value: Any, said: Declared) -> None:
    bounds = dict(said.bounds)
    lowest = bounds.get("ge")
    if lowest is None and exact <= 0:
        raise _fault(f"must be above zero, not {shown(value)}")
    if lowest is not None and exact < lowest:
        raise _fault(f"must be at least {format_quantity(float(lowest), said.dimension)}, not {shown(value)}")
    highest = min(bounds.get("le", Fraction(LARGEST[said.dimension])), Fraction(LARGEST[said.dimension]))
    if exact > highest:
        word = f"; write `{UNLIMITED}` if nothing limits it" if said.unlimited else ""
        most = format_quantity(int(highest), said.dimension)
        raise _fault(f"must be at most {most}, not {shown(value)}{word}")


def _without_echoes(cls: type[Spec], error: ValidationError) -> list[dict[str, Any]]:
    """Pydantic's faults, less the missing keys that a misspelt one stands for: one slip, one message."""
    found: list[dict[str, Any]] = [{**entry} for entry in error.errors(include_url=False)]
    slips = [str(entry["loc"][-1]) for entry in found if entry["type"] == "extra_forbidden"]
    meant = {name for slip in slips for name in near(slip, file_keys(cls))[:1]}
    return [e for e in found if not (e["type"] == "missing" and len(e["loc"]) == 1 and e["loc"][0] in meant)]


def _reworded(cls: type[Spec], found: dict[str, Any]) -> InitErrorDetails:
    """One fault in our words; those of specs further down are so already."""
    kind, loc, value = found["type"], found["loc"], found["input"]
    context = found.get("ctx", {})
    told = "hwsim"  # the kinds say how `load` finds the place
    if kind.startswith("hwsim"):
        text, told = context["text"], kind
    elif kind == "missing":
        text, told = _missing(cls, str(loc[-1])), "hwsim_missing"
    elif kind == "extra_forbidden":
        text, told = _unknown(cls, str(loc[-1])), "hwsim_key"
    elif kind == "union_tag_invalid":
        words = [word.strip(" '") for word in context["expected_tags"].split(",")]
        text, loc = one_of(context["tag"], words), (*loc, "kind")
    elif kind == "union_tag_not_found":
        text = "has no `kind`, which says what the section describes"
    else:
        text = mend(kind, value, context, found["msg"])
        told = "hwsim_form" if kind in FORMS else told
        limits = [
            said.limit for name, said in cls.declared.items() if (file_key(name),) == loc and said.limit
        ]
        text += f" ({limits[0]})" if limits and kind in ("less_than_equal", "less_than") else ""
    return InitErrorDetails(type=_fault(text, told), loc=loc, input=value)


def _missing(cls: type[Spec], key: str) -> str:
    name, said = next(
        ((name, said) for name, said in cls.declared.items() if file_key(name) == key), ("", None)
    )
    if said is None:  # a member of a list of fixed length
        return "is missing: the list is too short"
    words = kind_words(cls) if name == "kind" else ()
    example = words[0] if words else EXAMPLES.get(said.dimension, "...")
    written = f"; write for example `{key}: {example}`" if words or said.dimension else ""
    return f"is missing{written}. {said.sentence}"


def _unknown(cls: type[Spec], key: str) -> str:
    if key in cls.declared:
        return f"is not a field here; its unit belongs to the value: `{file_key(key)}: ...`"
    return f"is not a field here; {did_you_mean(key, file_keys(cls))}"

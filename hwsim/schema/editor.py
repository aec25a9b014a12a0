"""JSON Schema for editors: what a file may hold, with sentences, units and examples."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from hwsim.schema.declared import Declared
from hwsim.schema.wording import UNLIMITED, format_value
from hwsim.units import DIMENSIONS, EXAMPLES


def json_schema(spec: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the files that `load_yaml` reads as `spec`."""
    schema = spec.model_json_schema(by_alias=True, schema_generator=_Generator)
    if (
        "$ref" in schema
    ):  # a spec that holds itself is among the definitions; its fields are told here as well
        name = schema.pop("$ref").rpartition("/")[2]
        schema = {**schema["$defs"][name], **schema}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    plain: dict[str, Any] = json.loads(json.dumps(schema))
    return plain


class _Generator(GenerateJsonSchema):
    """Quiet about defaults that JSON cannot hold: `field_schema` writes them as a file would."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - pydantic's own form
        "non-serializable-default"
    }


def field_schema(found: dict[str, Any], said: Declared, default: Any) -> dict[str, Any]:
    """The schema of one field: pydantic's `found`, with quantities as text and without null."""
    found = {key: value for key, value in found.items() if key not in ("title", "default")}
    if said.dimension:
        found = {"type": "string", "pattern": _pattern(said), "examples": [EXAMPLES[said.dimension]]}
        found["examples"] += [UNLIMITED] if said.unlimited else []
    elif "anyOf" in found:
        choices = [choice for choice in found["anyOf"] if choice.get("type") != "null"]
        choices += [{"const": UNLIMITED}] if said.unlimited else []
        rest = {key: value for key, value in found.items() if key != "anyOf"}
        found = {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}
    found["description"] = said.sentence
    if said.dimension or (default is None and said.unlimited):
        if default is not None or (said.unlimited and not said.when_absent):
            found["default"] = format_value(default, said.dimension, said.unlimited, said.when_absent)
    elif isinstance(default, bool | int | float | str):
        found["default"] = default
    elif isinstance(default, tuple) and default and all(isinstance(item, str) for item in default):
        found["default"] = list(default)
    return found


def _pattern(said: Declared) -> str:
    units = "|".join(re.escape(unit) for unit in DIMENSIONS[said.dimension])
    number = r"\s*\+?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
    word = f"|^{UNLIMITED}$" if said.unlimited else ""
    return f"^{number}({units})\\s*${word}"

"""Templates filled in: one self-contained HTML file, which loads nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import jinja2

from hwsim.report.wording import percent, quantity, size
from hwsim.units import counted


def fill(
    name: str,
    version: str,
    *,
    styles: Sequence[str] = ("page.css",),
    scripts: Sequence[str] = ("page.js",),
    **values: object,
) -> bytes:
    """The template `name` with `values`, as UTF-8. `version` is that of the hwsim that made what it shows."""
    style, script = ("".join(map(_part, parts)) for parts in (styles, scripts))
    page = (
        _environment()
        .get_template(name)
        .render(
            version=version,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            **values,
        )
    )
    return page.lstrip().encode("utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "quantity": quantity, "percent": percent, "size": size, "counted": counted, "at": _at,
    }  # fmt: skip
    return environment


def _at(value: float) -> str:
    """A position or length as a percentage that is short and the same everywhere."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


@cache
def _part(name: str) -> str:
    return files("hwsim.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names the style and the script that it lets act: nothing else does."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

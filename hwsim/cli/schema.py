"""`hwsim schema`: what files may hold, for editors."""

from __future__ import annotations

import json

import click

from hwsim.cli.output import write


@click.command(name="schema")
@click.argument("kind", type=click.Choice(["design", "workload", "recipe", "space"]))
def command(kind: str) -> None:
    """Print the JSON Schema (draft 2020-12) of design, workload, recipe or space files.

    Editors use it for completion and checking; with the YAML language server, write
    `# yaml-language-server: $schema=design.schema.json` in the first line of a file.
    """
    if kind == "design":
        from hwsim.design import design_schema

        schema = design_schema()
    elif kind == "space":
        from hwsim.explore.space_file import space_schema

        schema = space_schema()
    elif kind == "recipe":
        from hwsim.compress import Recipe
        from hwsim.schema import json_schema

        schema = json_schema(Recipe)
    else:
        from hwsim.schema import json_schema
        from hwsim.workload.frontends.workload_file import WorkloadSpec

        schema = json_schema(WorkloadSpec)
    write(json.dumps(schema, indent=2, allow_nan=False))

"""`hwsim export`: the points of a store as a table for other programs."""

from __future__ import annotations

import click

from hwsim.cli.output import counted, printable, write


@click.command(name="export")
@click.argument("store", metavar="STORE")
@click.option("--out", "-o", required=True, metavar="FILE", help="FILE.csv, or FILE.parquet (needs pyarrow).")
@click.option("--frontier", is_flag=True, help="Only points that no other beats in everything.")
def command(store: str, out: str, frontier: bool) -> None:
    """Write the points that `hwsim sweep` put into STORE to FILE, one row each in the order of the grid: axes
    (numbers in base units, or words), metrics, limit, status, the reason where there are no figures, and
    whether a point meets all constraints and is on the frontier. STORE may be in use by a sweep."""
    from hwsim.explore.stored import load_points
    from hwsim.explore.sweep_result import export_points

    points = load_points(store)
    final = export_points(points, out, frontier=frontier)
    count = int(points.frontier.sum()) if frontier else len(points)
    write(f"{counted(count, 'point')} in {printable(str(final))}")

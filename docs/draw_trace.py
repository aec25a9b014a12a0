"""Draw a stretch of a run's trace.json.gz as an SVG, laid out as Perfetto lays it out.

    python docs/draw_trace.py RESULT_FOLDER PICTURE.svg FROM_US TO_US

A row is a thread of the trace, with its name at the left; a box is an event, coloured by its name as in
Perfetto, where equal names have equal colours. Names stand in boxes that have the room.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from html import escape
from pathlib import Path
from typing import Any

WIDTH, LABELS, ROW, TOP = 940, 225, 28, 56
LETTER = 7.2  # mean width of a letter at 13 px
COLOURS = (
    "#8d6e63", "#5c6bc0", "#7e57c2", "#26a69a", "#ef6c00", "#42a5f5", "#9e9d24", "#ec407a", "#66bb6a",
    "#78909c", "#ab47bc", "#d4a017",
)  # fmt: skip
TICKS_US = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def draw(trace: dict[str, Any], from_us: float, to_us: float) -> str:
    """The SVG of the time between two instants."""
    events = trace["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    process = next(e["args"]["name"] for e in events if e["name"] == "process_name")
    shown = [e for e in events if e["ph"] == "X" and e["ts"] < to_us and e["ts"] + e["dur"] > from_us]
    rows = [thread for thread in sorted(names) if any(e["tid"] == thread for e in shown)]
    height = TOP + ROW * len(rows) + 8
    scale = (WIDTH - LABELS) / (to_us - from_us)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    font = 'font-family="Roboto, Helvetica, Arial, sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        f"<title>{escape(process)}, {from_us:g} to {to_us:g} us of the run</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *ruler(from_us, to_us, scale, height),
        f'<rect y="26" width="{WIDTH}" height="24" fill="#e8eaf0"/>',
        f'<text x="10" y="43" font-weight="bold" fill="#222">{escape(process)} 1</text>',
    ]
    for index, thread in enumerate(rows):
        y = TOP + ROW * index
        parts.append(f'<text x="20" y="{y + 17}" fill="#333">{escape(names[thread])}</text>')
        parts.append(f'<path d="M0 {y + ROW - 1.5}h{WIDTH}" stroke="#e4e4e4"/>')
        parts += boxes([e for e in shown if e["tid"] == thread], from_us, to_us, scale, y)
    parts.append(f'<path d="M{LABELS} 0v{height}" stroke="#bbb"/></svg>')
    return "\n".join(parts) + "\n"


def ruler(from_us: float, to_us: float, scale: float, height: int) -> list[str]:
    step = next(step for step in TICKS_US if step * scale >= 70)
    count = int((to_us - from_us) / step)
    parts = []
    for index in range(count + 1):
        x = LABELS + index * step * scale
        parts.append(f'<path d="M{x:.1f} 18v{height - 18}" stroke="#eee"/>')
        if x < WIDTH - 50:
            parts.append(f'<text x="{x + 3:.1f}" y="15" fill="#666">{from_us + index * step:g} us</text>')
    return parts


def boxes(events: list[dict[str, Any]], from_us: float, to_us: float, scale: float, y: int) -> list[str]:
    """The events of one row: a path a colour, and the names that fit."""
    paths: dict[str, list[str]] = {}
    texts = []
    for event in events:
        left = LABELS + (max(event["ts"], from_us) - from_us) * scale
        right = LABELS + (min(event["ts"] + event["dur"], to_us) - from_us) * scale
        wide = max(right - left - 0.4, 0.3)  # a hair's breadth between neighbours
        colour = COLOURS[zlib.crc32(event["name"].encode()) % len(COLOURS)]
        paths.setdefault(colour, []).append(f"M{left:.1f} {y}h{wide:.1f}v{ROW - 4}h-{wide:.1f}z")
        letters = int((wide - 6) / LETTER)
        if letters >= 4:
            name = event["name"]
            short = name if len(name) <= letters else f"{name[: letters - 1]}…"
            texts.append(f'<text x="{left + 3:.1f}" y="{y + 17}" fill="#fff">{escape(short)}</text>')
    return [f'<path d="{"".join(found)}" fill="{colour}"/>' for colour, found in paths.items()] + texts


if __name__ == "__main__":
    folder, picture, first_us, last_us = sys.argv[1:]
    with gzip.open(Path(folder, "trace.json.gz"), "rt", encoding="utf-8") as file:
        Path(picture).write_text(draw(json.load(file), float(first_us), float(last_us)), encoding="utf-8")

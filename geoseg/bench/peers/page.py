"""Puts a comparison into the page of benchmarks and into its history."""

from __future__ import annotations

import re
from pathlib import Path

from geoseg.bench.peers.measuring import Comparison, Row
from geoseg.bench.peers.subject import CHIP_PX, CUT_PX

PAGE, HISTORY = "benchmarks.md", "benchmarks.jsonl"
BEGIN, END = "<!-- peers: written by `make bench` -->", "<!-- end of peers -->"


def record(folder: Path, found: Comparison) -> None:
    """Replace what stands between the page's markers, and add a line to the history.

    Args:
        folder: Where ``benchmarks.md`` lies.
        found: What was measured.

    Raises:
        ValueError: If the page has no markers.
    """
    page = folder / PAGE
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}")
    page.write_text(pattern.sub(lambda _: f"{BEGIN}\n{describe(found)}\n{END}", text), encoding="utf-8")
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(f"{found.to_json()}\n")


def describe(found: Comparison) -> str:
    """The table with its context, as Markdown."""
    mpx = found.side_px**2 / 1e6
    runs = "one run of each" if found.repeat == 1 else f"median of {found.repeat} runs of each"
    context = (
        f"{found.context}. Scene of {found.side_px:,} x {found.side_px:,} px, four bands, {runs};"
        f" float32, the peers with chips of {CHIP_PX} px that overlap by {2 * CUT_PX} px."
    )
    lines = [
        context,
        "",
        "| what | wall s | Mpx/s | peak GB | labels off, ppm | off inside, ppm | worst line, ‰ | others, % | versions |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        f"| reference: {found.reference_how}, no overlap | {found.reference_s:.1f} | {mpx / found.reference_s:.2f} | | | | | | |",
        *(_line(row, mpx) for row in found.rows),
    ]
    if found.speedup:
        lines += ["", f"geoseg took 1 / {found.speedup:.2f} of the wall time of the fastest peer."]
    return "\n".join(lines)


def _line(row: Row, mpx: float) -> str:
    if row.failure or row.score is None:
        return f"| {row.name} | not measured: {row.failure.replace('|', ' ')} | | | | | | | |"
    versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
    cells = (
        f"{row.median_s:.1f}",
        f"{mpx / row.median_s:.2f}",
        f"{row.peak_bytes / 1e9:.2f}",
        f"{row.score.wrong_ppm:.2f}",
        f"{row.score.inner_wrong_ppm:.2f}",
        f"{row.score.seam_permille:.2f}",
        f"{100 * row.others_share:.0f}",
        versions,
    )
    return f"| {row.name} | {' | '.join(cells)} |"

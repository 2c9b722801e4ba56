"""Writes ``docs/faults.md``: what may go wrong, by number, and the tests that say what happens then.

Part of ``make reference``. A test carries a number as ``@pytest.mark.fault(27)``, a whole module as
``pytestmark = pytest.mark.fault(27)``; nothing else is asked, so the page cannot say more than there is.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from docstrings import table

PAGE = Path(__file__).resolve().parent / "faults.md"
TESTS = PAGE.parents[1] / "tests"

_MARK = "<!-- Written by `make reference` from the marks of the tests. Mark a test instead. -->"
_INTRODUCTION = (
    "Each row is a case of the list that geoseg is built against, in a few words, and the tests that carry its number. Run those of one with "
    '`make test ARGS="-k fault_27"`. What a user sees of these cases is told in [when it fails](howto/when-it-fails.md).'
)

#: Letter to what its cases have in common, and the titles of these by number.
GROUPS: dict[str, tuple[str, dict[int, str]]] = {
    "A": (
        "Region",
        {
            1: "No file of the region, an empty one, or a folder",
            2: "A region file that no parser takes",
            3: "JSON that is no GeoJSON",
            4: "No feature, or none with a geometry",
            5: "Points and lines",
            6: "Rings that cross themselves, are open or have spikes",
            7: "Rings drawn the other way round",
            8: "Holes, several parts, parts that overlap",
            9: "A region across the 180th meridian",
            10: "A pole in it, or a place where the CRS does not hold",
            11: "Latitude and longitude swapped, metres taken for degrees",
            12: "Coordinates in another CRS",
            13: "A region that is too large",
            14: "A region smaller than a pixel",
            15: "GeoJSON made to exhaust memory or time",
        },
    ),
    "B": (
        "Catalogue",
        {
            16: "A catalogue that cannot be reached",
            17: "A search that finds nothing",
            18: "Scenes in the box around the region, none in the region",
            19: "Pages that fail once, or point to themselves",
            20: "An item without a band that is wanted, or with two of it",
            21: "Items that are none",
            22: "Items that contradict their files",
            23: "One scene twice",
            24: "A catalogue that changes while a job lasts",
            25: "Signatures that end while a job lasts",
            26: "Links of a catalogue on disk: relative, broken, circular",
        },
    ),
    "C": (
        "Files and rasters",
        {
            27: "A file that is not there",
            28: "A server that asks for patience",
            29: "Answers that are reset, cut short or too slow",
            30: "A truncated file",
            31: "A server without ranges, or without HEAD",
            32: "A file that changes while it is read",
            33: "Flipped bits",
            34: "A page, an archive or nothing in the place of a raster",
            35: "A raster without tiles or overviews",
            36: "Rasters made to exhaust memory",
            37: "Odd shapes and transforms",
            38: "Bands in another number or order",
            39: "Numbers of another range or type than the network was trained on",
            40: "Sentinel-2's offset: missing, applied twice, wrongly stated",
        },
    ),
    "D": (
        "Nodata and georeference",
        {
            41: "Edges filled with zeros that nothing declares",
            42: "Nodata values that cannot be, or are legal values",
            43: "Nothing but nodata or cloud",
            44: "Bands of unlike masks or pixel sizes",
            45: "No CRS, no transform, control points only",
            46: "Scenes of two zones",
            47: "Two dates that do not lie on each other",
            48: "Rare reference systems and the order of axes",
        },
    ),
    "E": (
        "Model and weights",
        {
            49: "A model that nobody knows",
            50: "Weights that are truncated or altered",
            51: "Weights that are a pickle",
            52: "Weights of another network",
            53: "No network, and weights that are not here",
            54: "A network that answers with no numbers or in a wrong shape",
            55: "Weights with a licence that forbids trade",
        },
    ),
    "F": (
        "Computing and memory",
        {
            56: "The memory of the GPU is not enough",
            57: "A GPU is asked for and not there",
            58: "A limit of memory that is too small, and one that is kept",
            59: "Worker processes that die with a tile",
            60: "A worker process that hangs, and wakes too late",
            61: "A scheduler or worker that leaves, workers of another version",
        },
    ),
    "G": (
        "Processes that end",
        {
            62: "A run that is killed",
            63: "A service that is killed",
            64: "A worker of the service that is killed",
            65: "Two runs into one folder",
            66: "Ctrl-C and SIGTERM",
            67: "A tile that was torn by a crash",
            68: "Other settings into the same folder",
            69: "A clock that jumps",
        },
    ),
    "H": (
        "Disk and outputs",
        {
            70: "A full disk",
            71: "A folder that cannot be written",
            72: "Results of another job in the folder",
            73: "Outputs beyond what their format holds",
            74: "A mosaic that was interrupted",
            75: "No polygons, invalid ones, areas that do not add up",
        },
    ),
    "I": (
        "Service",
        {
            76: "Requests that are malformed",
            77: "Jobs that are not there, by any name",
            78: "Results that are not there yet, or never will be",
            79: "What a failed job says of itself",
            80: "A request that is sent again",
            81: "A job that is dismissed",
            82: "A hundred jobs at once",
            83: "A client that goes away",
            84: "A large result and a slow reader",
            85: "A job store that does not answer",
            86: "A job store of another version",
        },
    ),
    "J": (
        "Attacks",
        {
            87: "Addresses that lead into the network of the service",
            88: "Addresses that are instructions to GDAL",
            89: "Files that make GDAL open others, or run code",
            90: "Names that climb out of a folder",
            91: "Archives that climb or explode",
            92: "Markup in names",
            93: "Line breaks and terminal codes in names",
            94: "Secrets in what is said or written",
            95: "Keys that are wrong, missing or revoked",
            96: "More than a key may ask for",
            97: "Ports of a cluster",
            98: "Pages of other origins",
        },
    ),
}
TITLES = {number: title for _, titles in GROUPS.values() for number, title in titles.items()}


@dataclass(frozen=True, order=True, slots=True)
class Marked:
    """A test with a number.

    Attributes:
        path: Its module, below ``tests``.
        name: Of the function.
    """

    path: str
    name: str


def numbers_of(source: str) -> dict[int, list[str]]:
    """Number to the tests of a module that carry it; what is not a test carries none."""
    found: dict[int, list[str]] = {}
    body = ast.parse(source).body
    of_all = [
        number
        for node in body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for number in _numbers(ast.walk(node.value))
    ]
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for number in (*of_all, *_numbers(node.decorator_list)):
                found.setdefault(number, []).append(node.name)
    return found


def _numbers(nodes: Iterable[ast.AST]) -> Iterator[int]:
    """Numbers of the marks among some nodes of a syntax tree."""
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            yield int(ast.literal_eval(node.args[0]))


def all_numbers(tests: Path = TESTS) -> dict[int, list[Marked]]:
    """Number to the tests that carry it, in all modules of a folder."""
    found: dict[int, list[Marked]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for number, names in numbers_of(path.read_text(encoding="utf-8")).items():
            found.setdefault(number, []).extend(Marked(str(path.relative_to(tests)), name) for name in names)
    return found


def page(found: dict[int, list[Marked]]) -> str:
    """The page of what was found."""
    missing = sorted(set(TITLES) - set(found))
    number = sum(map(len, found.values()))
    parts = ["# What goes wrong, and the tests of it", _MARK, _INTRODUCTION]
    count = f"{len(TITLES) - len(missing)} of {len(TITLES)} cases have tests, {number} in all."
    parts.append(count + (f" Without a test: {', '.join(map(str, missing))}." if missing else ""))
    for letter, (title, titles) in GROUPS.items():
        rows = [(str(case), words, _tests(case, found.get(case, []))) for case, words in titles.items()]
        parts += [f"## {letter}. {title}", table(("case", "what goes wrong", "tests"), rows)]
    return "\n\n".join(parts) + "\n"


def _tests(case: int, marked: list[Marked]) -> str:
    """Modules with the claims of their tests."""
    if not marked:
        return "none yet"
    modules: dict[str, list[str]] = {}
    for one in sorted(set(marked)):
        claim = one.name.removeprefix("test_").removeprefix(f"fault_{case:02}_").replace("_", " ")
        modules.setdefault(one.path, []).append(claim)
    return "; ".join(f"[{path}](../tests/{path}): {', '.join(claims)}" for path, claims in modules.items())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(all_numbers()), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}\n")


if __name__ == "__main__":
    main()

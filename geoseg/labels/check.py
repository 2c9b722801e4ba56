"""What is wrong with labelled images before a network is trained on them, and what to know of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.grid import on_earth
from geoseg.labels.base import Labelled, LabelSet, natural
from geoseg.labels.likeness import copies
from geoseg.labels.survey import Seen, survey, untold

_SHOWN = 10
# Pixel sizes that differ by more are two kinds of data.
_SIZES_APART = 1.5
# Less is rounding at a shared edge.
_LEAST_SHARE = 1e-3
_FEW_PX = 1000
_BYTE = 255


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: ``wrong``: training on it gives a wrong network or wrong numbers. ``note``: to know.
        code: What kind, for programs.
        words: What was found, in a sentence.
        todo: What to do about it.
        images: Names of the images that it is about.
    """

    severity: Literal["wrong", "note"]
    code: str
    words: str
    todo: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """What ``geoseg data check`` says.

    Attributes:
        classes: Names.
        images: What each image holds.
        held_out: Groups that are not trained on; empty where the configuration has none.
        findings: The wrong ones first.
        facts: Title, licence and attribution of the data.
    """

    classes: tuple[str, ...]
    images: tuple[Seen, ...]
    held_out: tuple[str, ...]
    findings: tuple[Finding, ...]
    facts: dict[str, str]

    @property
    def is_wrong(self) -> bool:
        """Whether training would go wrong."""
        return any(finding.severity == "wrong" for finding in self.findings)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels of each class."""
        return np.sum([seen.counts for seen in self.images], axis=0, dtype=np.int64)

    def groups(self) -> dict[str, tuple[int, NDArray[np.int64]]]:
        """Images and pixels of each class, by group."""
        found: dict[str, tuple[int, NDArray[np.int64]]] = {}
        for name in sorted({seen.group for seen in self.images}, key=natural):
            of = [seen for seen in self.images if seen.group == name]
            found[name] = len(of), np.sum([seen.counts for seen in of], axis=0, dtype=np.int64)
        return found

    def to_json(self) -> dict[str, Any]:
        """The report for programs; equal data give equal reports."""
        total = {
            name: sum(getattr(seen, name) for seen in self.images) for name in ("pixels", "ignored_px", "nodata_px")
        }
        return {
            **self.facts,
            "images": len(self.images),
            **total,
            "classes": dict(zip(self.classes, self.counts.tolist(), strict=True)),
            "held_out": list(self.held_out),
            "groups": {
                name: {"images": number, "classes": dict(zip(self.classes, counts.tolist(), strict=True))}
                for name, (number, counts) in self.groups().items()
            },
            "findings": [
                {"severity": f.severity, "code": f.code, "words": f.words, "todo": f.todo, "images": list(f.images)}
                for f in self.findings
            ],
        }


def check(
    labels: LabelSet,
    held_out: LabelSet | None = None,
    told: Callable[[int, int], None] = untold,
) -> CheckReport:
    """Look at labelled images as a whole.

    Args:
        labels: What is trained on.
        held_out: What is not; every group counts as a possible side of a split where it is ``None``.
        told: Called with the number of images that are done, and of all.
    """
    members = (*labels.members, *(held_out.members if held_out else ()))
    every = LabelSet(labels.classes, members)
    seen = survey(every, told)
    side = {member.name: member.group for member in members}
    if held_out is not None:
        out = {member.name for member in held_out.members}
        side = {name: "held out" if name in out else "trained on" for name in side}
    findings = [
        *_unread(seen),
        *_undeclared(seen),
        *_classes(every, seen),
        *_numbers(every, seen),
        *_places(members),
        *_overlaps(members, side),
        *_copies(seen, side),
        *_splits(every, held_out),
    ]
    findings.sort(key=lambda finding: finding.severity != "wrong")
    facts = {name: getattr(labels, name) for name in ("title", "licence", "attribution")}
    names = tuple(entry.name for entry in labels.classes)
    return CheckReport(names, tuple(seen), held_out.groups if held_out else (), tuple(findings), facts)


def _unread(seen: list[Seen]) -> Iterator[Finding]:
    bad = [one for one in seen if one.trouble]
    if bad:
        words = f"{_images(bad)} cannot be read: {'; '.join(dict.fromkeys(one.trouble for one in bad[:3]))}"
        yield _wrong("unreadable", words, "repair or remove these files", bad)


def _undeclared(seen: list[Seen]) -> Iterator[Finding]:
    bad = [one for one in seen if one.undeclared]
    if not bad:
        return
    values: Counter[str] = Counter()
    for one in bad:
        values.update(one.undeclared)
    shown = ", ".join(f"{value} ({px:,} px)" for value, px in values.most_common(_SHOWN))
    yield _wrong(
        "undeclared-labels",
        f"{_images(bad)} with label values that no class has: {shown}{', …' * (len(values) > _SHOWN)}",
        "add each value to a class (values) or to ignore",
        bad,
    )


def _classes(labels: LabelSet, seen: list[Seen]) -> Iterator[Finding]:
    counts = np.sum([one.counts for one in seen], axis=0)
    names = [entry.name for entry in labels.classes]
    there = [name for name, px in zip(names, counts, strict=True) if px]
    if len(there) < 2:
        words = f"labels of {'one class alone: ' + there[0] if there else 'no class at all'}"
        yield Finding("wrong", "one-class", words, "a network learns nothing from these: look at classes and ignore")
    elif absent := [name for name in names if name not in there]:
        words = f"no pixel of {', '.join(absent)}"
        yield Finding("note", "absent-class", words, "it cannot be learned from these data: take it out, or add data")
    for name, px in zip(names, counts, strict=True):
        groups = {one.group for one in seen if one.counts[names.index(name)]}
        if px > 0 and (px < _FEW_PX or (len(groups) == 1 and len(labels.groups) > 1)):
            where = f" in the group {min(groups)} alone" if len(groups) == 1 and len(labels.groups) > 1 else ""
            yield Finding("note", "rare-class", f"{px:,} pixels of {name}{where}", "its numbers will say little")
    empty = [one for one in seen if not one.trouble and not one.undeclared and not one.counts.any()]
    if empty and len(empty) < len(seen):
        yield _note(
            "unlabelled", f"{_images(empty)} without a labelled pixel", "they teach nothing: leave them out", empty
        )
    lost = [one for one in seen if one.lost_px]
    if lost:
        px = sum(one.lost_px for one in lost)
        yield _note(
            "labels-on-nodata", f"{px:,} labelled pixels without data, in {_images(lost)}", "they are ignored", lost
        )


def _numbers(labels: LabelSet, seen: list[Seen]) -> Iterator[Finding]:
    read = [one for one in seen if one.dtype]
    if len(kinds := Counter(one.dtype for one in read)) > 1:
        rare = min(kinds, key=lambda kind: (kinds[kind], kind))
        yield _wrong(
            "mixed-types",
            "numbers of several types: "
            + ", ".join(f"{kind} in {number} images" for kind, number in sorted(kinds.items())),
            "one scale and offset cannot serve them all: bring them to one type, or read them as blocks of their own",
            [one for one in read if one.dtype == rare],
        )
    words = [one for one in read if one.dtype in {"uint16", "int16"} and one.highest is not None]
    small = [one for one in words if one.highest is not None and one.highest.max() <= _BYTE]
    if 0 < len(small) < len(words):
        yield _wrong(
            "bytes-among-words",
            f"{_images(small)} of {small[0].dtype} with no number above 255, among others that go further",
            "these look like 8-bit pictures in 16-bit files: convert them back, or leave them out",
            small,
        )
    if labels.quantity == "reflectance":
        tops = [float(one.highest.max()) * labels.scale + labels.offset for one in read if one.highest is not None]
        if tops and float(np.median(tops)) > 10:
            top = f"reflectance up to {np.median(tops):g} (median over images)"
            yield Finding("wrong", "scale", top, "state scale and offset so that reflectance is 0 to about 1")
    flat = [
        one for one in read if one.highest is not None and one.lowest is not None and (one.highest == one.lowest).all()
    ]
    if flat:
        yield _note(
            "constant", f"{_images(flat)} of one colour", "look at them: they teach nothing but that colour", flat
        )
    bare = [one for one in read if one.nodata_px == one.pixels]
    if bare:
        yield _note("all-nodata", f"{_images(bare)} without a valid pixel", "leave them out, or correct nodata", bare)


def _places(members: Iterable[Labelled]) -> Iterator[Finding]:
    members = list(members)
    crs = Counter(
        "none" if m.crs is None else (f"EPSG:{c}" if (c := m.crs.to_epsg()) else "a CRS without a code")
        for m in members
    )
    if len(crs) > 1:
        words = "several CRSs: " + ", ".join(f"{name} ({number} images)" for name, number in sorted(crs.items()))
        yield Finding(
            "note", "mixed-crs", words, "fine for training; overlaps are looked for in longitude and latitude"
        )
    sizes = sorted({m.gsd_m for m in members if m.gsd_m is not None})
    if sizes and sizes[-1] > _SIZES_APART * sizes[0]:
        words = f"pixels of {sizes[0]:g} to {sizes[-1]:g} m"
        yield Finding("note", "mixed-resolution", words, "train with scale augmentation over that range, or apart")
    if not sizes:
        yield Finding(
            "note",
            "no-resolution",
            "no pixel size is known",
            "state gsd_m, so that the model says what it was trained on",
        )


def _overlaps(members: Iterable[Labelled], side: dict[str, str]) -> Iterator[Finding]:
    """Images of two sides that show the same ground."""
    placed = [member for member in members if member.crs is not None and member.transform is not None]
    outlines = np.array([_outline(member) for member in placed], dtype=object)
    tree = shapely.STRtree(outlines)
    pairs = []
    for one, other in tree.query(outlines, predicate="intersects").T.tolist():
        if one >= other or side[placed[one].name] == side[placed[other].name]:
            continue
        shared = outlines[one].intersection(outlines[other]).area
        if shared > _LEAST_SHARE * min(outlines[one].area, outlines[other].area):
            pairs.append((placed[one].name, placed[other].name))
    if pairs:
        pairs.sort(key=lambda pair: (natural(pair[0]), natural(pair[1])))
        yield Finding(
            "wrong",
            "overlap",
            f"{len(pairs):,} pairs of images overlap across groups: {_pairs(pairs)}",
            "put them into one group: what a network was trained on says nothing about what it does elsewhere",
            tuple(dict.fromkeys(name for pair in pairs for name in pair)),
        )


def _outline(member: Labelled) -> Any:
    """Footprint in longitude and latitude."""
    assert member.transform is not None  # noqa: S101  # asked for only of images with a place
    grid = on_earth(GeoBox(member.shape, member.transform, member.crs))
    return grid.extent.to_crs("EPSG:4326", resolution=max(*member.shape) * abs(grid.transform.a) / 8).geom


def _copies(seen: list[Seen], side: dict[str, str]) -> Iterator[Finding]:
    known = [one for one in seen if one.likeness is not None]
    across: list[tuple[str, str]] = []
    within: list[tuple[str, str]] = []
    hows: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for one, other, how in copies([one.likeness for one in known if one.likeness is not None]):
        pair = known[one].name, known[other].name
        is_one = side[pair[0]] == side[pair[1]]
        hows[is_one][how] += 1
        (within if is_one else across).append(pair)
    apart, beside = (", ".join(f"{n} {words}" for words, n in hows[is_one].most_common()) for is_one in (False, True))
    if across:
        yield Finding(
            "wrong",
            "copies",
            f"{len(across):,} pairs of images in different groups are copies ({apart}): {_pairs(across)}",
            "take one of each out, or put them into one group",
            tuple(dict.fromkeys(name for pair in across for name in pair)),
        )
    if within:
        yield Finding(
            "note",
            "copies-in-group",
            f"{len(within):,} pairs of images within a group are copies ({beside}): {_pairs(within)}",
            "they count twice in training",
            tuple(dict.fromkeys(name for pair in within for name in pair)),
        )


def _splits(labels: LabelSet, held_out: LabelSet | None) -> Iterator[Finding]:
    if held_out is None and len(labels.groups) == 1:
        yield Finding(
            "note", "one-group", "one group", "nothing can be held out: state groups, or blocks of a large image"
        )
    if held_out is None and len(labels.groups) == len(labels.members) > 1:
        yield Finding(
            "note",
            "groups-of-one",
            f"every one of {len(labels.members)} images is a group of its own",
            "state groups if some are of one place, flight or event",
        )


def _images(seen: list[Seen]) -> str:
    names = ", ".join(one.name for one in seen[:3]) + ", …" * (len(seen) > 3)
    return f"{len(seen)} image{'s' * (len(seen) > 1)} ({names})"


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(" = ".join(pair) for pair in pairs[:_SHOWN]) + ", …" * (len(pairs) > _SHOWN)


def _wrong(code: str, words: str, todo: str, seen: list[Seen]) -> Finding:
    return Finding("wrong", code, words, todo, tuple(one.name for one in seen))


def _note(code: str, words: str, todo: str, seen: list[Seen]) -> Finding:
    return Finding("note", code, words, todo, tuple(one.name for one in seen))

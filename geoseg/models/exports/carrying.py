"""Takes a model's exports along to where its copy goes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from typing import get_args

from geoseg.models.exports.record import BACKENDS, EXPORTS, Export, Profile, find_export
from geoseg.models.folder import ModelFolder


def exports_of(folder: ModelFolder) -> list[Export]:
    """Exports of exactly this model, beside its item or in the cache; of each backend and profile one."""
    profiles: tuple[Profile, ...] = get_args(Profile)
    found = (find_export(folder, backend, profile) for backend, profile in product(BACKENDS, profiles))
    return [export for export in found if export is not None]


def carry_exports(given: ModelFolder, copy: ModelFolder) -> list[Export]:
    """Put a model's exports beside the item of its copy, so that this one runs without torch.

    They are held against their records before and after. Those of a copy that is another model by now, because a
    measured fact of it is another or its weights are kept in another form, stay behind: they would not be found.

    Args:
        given: The model.
        copy: Its copy, with item and weights.

    Returns:
        The exports of the copy.

    Raises:
        WeightsError: If a file is missing or altered.
    """
    carried = []
    for export in exports_of(replace(given, spec=copy.spec)):
        place = copy.path / EXPORTS / f"{export.backend}-{export.profile}"
        if export.path != place:
            place.mkdir(parents=True, exist_ok=True)
            for name in export.files:
                shutil.copyfile(export.file(name), place / name)
        moved = replace(export, path=place)
        for name in moved.files:
            moved.file(name)
        moved.write()
        carried.append(moved)
    return carried

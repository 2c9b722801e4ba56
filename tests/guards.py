"""Takes each guard of `docs/security.md` away in a copy of geoseg, and sees the test of it fail: `make guards`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands in somebody's way.

    Attributes:
        name: In words, as on the page.
        path: The module.
        there: What it is.
        gone: What is left without it.
        test: What must notice.
    """

    name: str
    path: str
    there: str
    gone: str
    test: str


GUARDS = (
    Guard(
        "bombs of GeoJSON",
        "geoseg/aoi/scan.py",
        "        if problem is not None:",
        "        if False:",
        "tests/faults/test_a_place.py::test_fault_15_ends_with_2",
    ),
    Guard(
        "bombs of blocks",
        "geoseg/scenes/raster_checks.py",
        "    if size <= MOST_BLOCK_BYTES or",
        "    if True or",
        "tests/faults/test_c_rasters.py::test_fault_36_a_block_above_the_limit_is_refused_with_its_size",
    ),
    Guard(
        "documents in the place of rasters",
        "geoseg/load/opening.py",
        '_NO_RASTERS = (b"<", b"{")',
        '_NO_RASTERS = (b"never",)',
        "tests/remote/test_remote.py::test_a_document_that_names_other_files_is_no_raster",
    ),
    Guard(
        "pickles",
        "geoseg/models/weights.py",
        '    if weights.format == "pickle" and not allow_pickle:',
        "    if False:",
        "tests/faults/test_e_models.py::test_fault_51_a_pickle_is_refused_and_its_payload_never_runs",
    ),
    Guard(
        "checksums of weights",
        "geoseg/models/weights.py",
        "    if digest.startswith(reference.sha256):",
        "    if True:",
        "tests/faults/test_e_models.py::test_fault_50_a_wrong_file_never_gets_its_name_in_the_cache",
    ),
    Guard(
        "markup in the report",
        "geoseg/outputs/report.py",
        "        autoescape=True,",
        "        autoescape=False,",
        "tests/outputs/test_report.py::test_data_is_text",
    ),
    Guard(
        "markup in the notebook",
        "geoseg/outputs/notebook.py",
        "autoescape=True",
        "autoescape=False",
        "tests/outputs/test_notebook.py::test_nothing_of_the_data_is_markup",
    ),
    Guard(
        "secrets in words",
        "geoseg/remote/words.py",
        '    return _LOOSE.sub(r"\\1\\2...", _ADDRESS.sub(lambda found: _bare(found[0]), text))',
        "    return text",
        "tests/remote/test_remote.py::test_fault_94_no_words_have_a_signature",
    ),
    Guard(
        "members of a bundle that lie outside",
        "geoseg/bundle/checking.py",
        '        if not is_inside(member.filename.removesuffix("/")):',
        "        if False:",
        "tests/test_bundle.py::test_members_that_lie_elsewhere_are_refused_and_not_read",
    ),
    Guard(
        "torn or altered tiles",
        "geoseg/store/folder.py",
        "        return decode(body) if is_whole(body) else None",
        "        return decode(body)",
        "tests/test_store.py::test_no_flipped_bit_is_believed",
    ),
    Guard(
        "results that come too late",
        "geoseg/store/folder.py",
        "            if older is not None and older.covers(record):",
        "            if False:",
        "tests/test_store.py::test_a_worker_that_comes_too_late_commits_nothing",
    ),
    Guard(
        "addresses inside, of the service",
        "api/geoseg_api/gate.py",
        "    if not all(is_public(str(text)) for text in found):",
        "    if False:",
        "tests/api/test_security.py::test_fault_87_no_address_leads_inside",
    ),
    Guard(
        "other schemes, of the service",
        "api/geoseg_api/gate.py",
        "    if parts.scheme not in _PORTS or not host or any(ord(letter) <= 32 or ord(letter) == 127 for letter in href):",
        "    if False:",
        "tests/api/test_security.py::test_fault_87_other_schemes_are_refused",
    ),
    Guard(
        "connections inside, of the service",
        "api/geoseg_api/gate.py",
        "    sys.addaudithook(judge)",
        "    del judge",
        "tests/api/test_security.py::test_fault_87_a_connection_inside_fails_wherever_it_comes_from",
    ),
    Guard(
        "paths of the server",
        "api/geoseg_api/gate.py",
        "            fine = any(place.is_relative_to(folder) for folder in allowed)",
        "            fine = True",
        "tests/api/test_security.py::test_fault_90_a_link_in_an_allowed_folder_leads_nowhere_else",
    ),
    Guard(
        "members of a bundle that explode",
        "geoseg/bundle/checking.py",
        "        elif member.file_size > max(_SMALL_BYTES, _MOST_FOLD * member.compress_size):",
        "        elif False:",
        "tests/test_bundle.py::test_a_member_that_would_fill_the_disk_is_refused_and_not_read",
    ),
    Guard(
        "links in the output folder",
        "geoseg/job.py",
        "    if (out / _FOLDER).is_symlink():",
        "    if False:",
        "tests/faults/test_j_names.py::test_fault_90_links_in_the_output_folder_lead_nowhere",
    ),
    Guard(
        "formulas in tables",
        "geoseg/outputs/areas.py",
        """    return "'" + text if text[:1] in""",
        """    return text if text[:1] in""",
        "tests/faults/test_j_names.py::test_fault_90_names_of_strangers_write_nothing_outside_and_are_text_everywhere",
    ),
    Guard(
        "commands to terminals, in errors",
        "geoseg/errors.py",
        """    return printable(" ".join(text.split()))""",
        """    return " ".join(text.split())""",
        "tests/faults/test_j_names.py::test_fault_93_three_lines_stay_three_and_command_no_terminal",
    ),
    Guard(
        "commands to terminals, in what is shown",
        "geoseg/cli/progress.py",
        "        return super().render_str(printable(text), **options)",
        "        return super().render_str(text, **options)",
        "tests/faults/test_j_names.py::test_fault_90_names_of_strangers_write_nothing_outside_and_are_text_everywhere",
    ),
    Guard(
        "secrets in the words of a fault",
        "geoseg/cli/__init__.py",
        """            redacted(" ".join(words)),""",
        """            " ".join(words),""",
        "tests/faults/test_j_names.py::test_fault_94_a_fault_of_ours_repeats_no_secret",
    ),
    Guard(
        "drivers of files that name others, of the service",
        "api/geoseg_api/gate.py",
        """        "GDAL_SKIP": _DRIVERS,""",
        """        "GDAL_SKIP": "",""",
        "tests/api/test_security.py::test_fault_89_files_that_name_other_files_do_not_open",
    ),
    Guard(
        "content security policy",
        "api/geoseg_api/middleware.py",
        """    b"content-security-policy": _CSP.encode(),""",
        "",
        "tests/api/test_security.py::test_fault_92_nothing_that_a_request_says_becomes_a_page",
    ),
    Guard(
        "line breaks in the log",
        "api/geoseg_api/logs.py",
        "        return json.dumps(line, ensure_ascii=True)",
        """        return str(line["message"])""",
        "tests/api/test_security.py::test_fault_93_a_line_of_the_log_is_one_event",
    ),
    Guard(
        "secrets in the log",
        "api/geoseg_api/logs.py",
        """            line["trace"] = redacted(self.formatException(record.exc_info))""",
        """            line["trace"] = self.formatException(record.exc_info)""",
        "tests/api/test_security.py::test_fault_94_no_signature_in_problems_or_logs",
    ),
    Guard(
        "keys",
        "api/geoseg_api/access.py",
        "        if key is None:",
        "        if key is None and given:",
        "tests/api/test_security.py::test_fault_95_without_a_good_key_there_is_nothing",
    ),
    Guard(
        "jobs of others",
        "api/geoseg_api/access.py",
        "    if job is None or (caller.sees is not None and job.owner != caller.sees):",
        "    if job is None:",
        "tests/api/test_security.py::test_fault_95_a_job_of_another_key_does_not_exist",
    ),
    Guard(
        "bodies without end",
        "api/geoseg_api/middleware.py",
        "            if self._got > self._max_body:",
        "            if False:",
        "tests/api/test_security.py::test_fault_96_limits_of_bodies_requests_and_jobs",
    ),
    Guard(
        "bombs in requests",
        "api/geoseg_api/requests.py",
        """        refuse_bomb(body, "the body")""",
        "        pass",
        "tests/api/test_security.py::test_fault_15_a_region_that_is_a_bomb_costs_nothing",
    ),
    Guard(
        "other origins",
        "api/geoseg_api/app.py",
        "            allow_origins=list(settings.origins),",
        """            allow_origins=["*"],""",
        "tests/api/test_security.py::test_fault_98_other_origins_are_let_in_by_name_only",
    ),
    Guard(
        "clusters of the service",
        "api/geoseg_api/gate.py",
        """"VSI_", "GEOSEG_WORKERS")""",
        """"VSI_")""",
        "tests/api/test_security.py::test_fault_97_the_service_starts_no_cluster",
    ),
    Guard(
        "secrets in the words of a refusal",
        "geoseg/cli/__init__.py",
        "            typer.echo(_unsigned(str(refusal(err, words))), err=True)",
        "            typer.echo(str(refusal(err, words)), err=True)",
        "tests/api/test_app.py::test_a_service_that_is_not_there_is_named_without_its_password",
    ),
    Guard(
        "files that an item names outside of its folder",
        "geoseg/models/adding.py",
        """        if href and "://" not in href and not path.is_absolute() and ".." not in path.parts:""",
        """        if href and "://" not in href:""",
        "tests/models/test_adding.py::test_an_item_names_no_file_outside_of_its_folder",
    ),
    Guard(
        "ports of worker processes",
        "geoseg/cluster/team.py",
        '_LOOPBACK = "127.0.0.1"',
        '_LOOPBACK = "0.0.0.0"',
        "tests/cluster/test_workers.py::test_a_worker_that_is_killed_or_hangs_costs_only_its_tile_and_changes_nothing",
    ),
)


def without(guard: Guard, folder: Path) -> subprocess.CompletedProcess[str]:
    """Its test, in a copy of geoseg that lacks the guard.

    Raises:
        ValueError: If the guard is not where it was.
    """
    for name in ("geoseg", "api", "workflows", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    module = folder / guard.path
    text = module.read_text(encoding="utf-8")
    if text.count(guard.there) != 1:
        raise ValueError(f"{guard.path} has no such line, or several: {guard.there}")
    module.write_text(text.replace(guard.there, guard.gone), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.test]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "api")])}
    return subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, check=False)


def main() -> int:
    """Say of each guard whether its test noticed; 1 if one did not."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--only", default="", help="part of the names of those to be tried")
    wanted, unnoticed = words.parse_args().only, 0
    for guard in GUARDS:
        if wanted not in guard.name:
            continue
        with tempfile.TemporaryDirectory(prefix="geoseg-guards-") as folder:
            ended = without(guard, Path(folder))
        noticed = ended.returncode == 1
        unnoticed += not noticed
        said = "its test fails without it" if noticed else f"NOT NOTICED ({ended.returncode})\n{ended.stdout[-800:]}"
        sys.stdout.write(f"{guard.name}: {said}\n")
        sys.stdout.flush()
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())

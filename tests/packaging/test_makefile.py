"""The Makefile finds a Python that is new enough, and installs once."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess

import pytest

TOOLS = ["make", "sh", "cat", "cksum", "cut", "rm", "touch", "awk", "mkdir", "chmod"]


@pytest.fixture
def checkout(repository, tmp_path):
    """A copy of the files that make reads, and a PATH with nothing but basic tools on it."""
    for name in ["Makefile", "pyproject.toml", "constraints.txt"]:
        shutil.copy(repository / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def add_python(checkout, name, *, is_new):
    """A stand-in for Python: says whether it is new enough, makes a .venv of itself, and notes what it is asked to install."""
    script = f"""#!{shutil.which("sh")}
case "$1 $2" in
    -c*) exit {0 if is_new else 1} ;;
    --version*) echo "Python 3.{12 if is_new else 10}.0" ;;
    "-m venv") mkdir -p "$3/bin" && cat "$0" > "$3/bin/python" && chmod +x "$3/bin/python" && echo "{name}" >> made-by ;;
    "-m pip") echo "$@" >> installs ;;
esac
"""
    path = checkout / "bin" / name
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def make(checkout, *words):
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout), "LC_ALL": "C"}
    return subprocess.run(
        [checkout / "bin" / "make", *words], check=False, capture_output=True, text=True, cwd=checkout, env=environment
    )


def installs(checkout):
    path = checkout / "installs"
    return path.read_text().splitlines() if path.exists() else []


def test_second_make_installs_nothing(checkout):
    add_python(checkout, "python3", is_new=True)
    for _ in range(2):
        assert make(checkout, "setup").returncode == 0
    assert installs(checkout) == ["-m pip install --disable-pip-version-check -c constraints.txt -e .[all,dev]"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_requirements_install_again_and_going_back_too(checkout, name):
    add_python(checkout, "python3", is_new=True)
    before = (checkout / name).read_text()
    for text in [before, before + "# another\n", before]:
        (checkout / name).write_text(text)
        assert make(checkout, "setup").returncode == 0
    assert len(installs(checkout)) == 3


def test_file_times_do_not_matter(checkout):
    add_python(checkout, "python3", is_new=True)
    make(checkout, "setup")
    for name in ["Makefile", "pyproject.toml", "constraints.txt"]:
        os.utime(checkout / name, (4e9, 4e9))
    make(checkout, "setup")
    assert len(installs(checkout)) == 1


def test_python312_goes_before_python3(checkout):
    add_python(checkout, "python3", is_new=True)
    add_python(checkout, "python3.12", is_new=True)
    make(checkout, "setup")
    assert (checkout / "made-by").read_text() == "python3.12\n"


def test_launcher_without_its_python_is_passed_over(checkout):
    add_python(checkout, "python3.12", is_new=False)
    add_python(checkout, "python3", is_new=True)
    make(checkout, "setup")
    assert (checkout / "made-by").read_text() == "python3\n"


@pytest.mark.parametrize("present", ["an old one", "none"])
def test_without_a_python_the_error_has_three_lines(checkout, present):
    if present == "an old one":
        add_python(checkout, "python3", is_new=False)
    done = make(checkout, "setup")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert [line.split(":")[0] for line in lines] == ["given", "expected", "to do"]
    assert ("Python 3.10.0" if present == "an old one" else "no Python") in lines[0]
    assert not (checkout / ".venv").exists()


def test_help_lists_every_target(checkout, repository):
    text = (repository / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    listed = [line.split()[1] for line in make(checkout, "help").stdout.splitlines()]
    assert sorted(listed) == sorted(phony)

"""Refusals as problem documents (RFC 9457): given, expected, hint. Nothing of tracebacks or signatures."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from geoseg.errors import GeosegError, NothingToDoError, RequestError
from geoseg.remote import redacted
from geoseg.spec import JobSpec

MEDIA_TYPE = "application/problem+json"
OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
NO_PROCESS, NO_JOB, NOT_READY = OGC + "no-such-process", OGC + "no-such-job", OGC + "result-not-ready"
NO_OUTPUT = OGC + "no-such-output"
_OPTION = re.compile(r"--([a-z][a-z-]*)")
# What is for people at a command line only, and what a caller is told instead.
_FOR_CALLERS = (
    (re.compile(r"; geoseg run --help says what it may be"), "; the description of the process says what it may be"),
    (re.compile(r" \(\w+ in Python\)"), ""),
    (re.compile(r"raise the limit with --max-\w+ \S+ \(\w+\)"), "let the operator raise the limit"),
)
_INPUTS = {name: name for name in JobSpec.model_fields} | {"min_area": "min_area_m2", "simplify": "simplify_m"}


@dataclass
class Problem(Exception):  # noqa: N818  # it is called what the standard calls it
    """A refusal.

    Attributes:
        status: HTTP status.
        given: What was given, with its value.
        expected: What was expected instead.
        hint: What the caller can do.
        type: Kind of problem, a URI.
        pointer: Place in the request, as a JSON pointer; "" where it is none.
        headers: Of the answer.
    """

    status: int
    given: str
    expected: str = ""
    hint: str = ""
    type: str = "about:blank"
    pointer: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def document(self, instance: str = "") -> dict[str, Any]:
        """The body of the answer."""
        words = (self.given, self.expected, self.hint)
        given, expected, hint = (naming_inputs(redacted(" ".join(text.split()))) for text in words)
        detail = f"{given}; expected {expected}" if expected else given
        error = {"pointer": self.pointer, "given": given, "expected": expected, "hint": hint}
        return {
            "type": self.type,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": detail,
            "hint": hint,
            **({"instance": instance} if instance else {}),
            "errors": [error],
        }


def naming_inputs(text: str) -> str:
    """A text for the command line, whose options are called as the inputs are."""

    def name_of(option: re.Match[str]) -> str:
        name = _INPUTS.get(option[1].replace("-", "_"))
        return option[0] if name is None else f"'{name}'"

    for pattern, words in _FOR_CALLERS:
        text = pattern.sub(words, text)
    return _OPTION.sub(name_of, text)


def place_of(text: str) -> str:
    """JSON pointer of the first input that a text for the command line names; of all inputs where it names none."""
    named = (_INPUTS.get(option.replace("-", "_")) for option in _OPTION.findall(text))
    return "/".join(["/inputs", *filter(None, [next(filter(None, named), None)])])


def problem_of(err: GeosegError, hidden: tuple[str, ...] = ()) -> dict[str, Any]:
    """The problem document of a job that failed.

    Args:
        err: Why.
        hidden: Folders of this machine that nobody needs to know.
    """

    def shown(text: str) -> str:
        for folder in hidden:
            text = text.replace(folder, "…")
        return text

    status = 500
    if isinstance(err, RequestError):
        status = 400
    elif isinstance(err, NothingToDoError):
        status = 404
    words = (shown(err.given), shown(err.expected), shown(err.todo))
    return Problem(status, *words, f"urn:geoseg:{type(err).__name__}").document()


def no_job(job_id: str) -> Problem:
    """No job of that id, or one of somebody else."""
    return Problem(404, f"the job {job_id[:64]!r}", "the id of one of your jobs", "GET /jobs lists them", type=NO_JOB)

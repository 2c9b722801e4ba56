"""The JSON schema that is shipped beside the package: ``python -m geoseg.evidence.schema`` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from geoseg.evidence.facts import Evidence

SCHEMA = Path(__file__).with_name("evidence.schema.json")


def schema_text() -> str:
    """The schema of what is written, as the file has it."""
    schema = Evidence.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")

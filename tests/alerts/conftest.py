"""The helper module beside the tests is imported by its name; OCSF's class for all."""

from __future__ import annotations

import sys
from pathlib import Path

import jsonschema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from engine.report.ocsf import VERSION

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ocsf() -> jsonschema.Draft202012Validator:
    """OCSF's own definition of the class Detection Finding, as the package ocsf-json-schema brings it."""
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION)).get_class_schema("detection_finding")
    return jsonschema.Draft202012Validator(schema)

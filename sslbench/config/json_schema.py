"""``python -m sslbench.config.json_schema``: write configs/schema.json, by which editors complete and check configs.

Made from the typed settings and the registry; pydantic alone validates.
"""

import json

from sslbench import registry
from sslbench.config.models import Config
from sslbench.store.code_fingerprint import ROOT

FILE = ROOT / "configs" / "schema.json"


def schema() -> dict:
    """JSON schema of a config file or overlay: nothing is required, since files are laid over each other."""
    document = Config.model_json_schema()
    document.pop("required", None)
    for definition in document["$defs"].values():
        definition.pop("required", None)
    kinds = (
        ("datasets", "kind", registry.DATASETS),
        ("models", "method", registry.METHODS),
        ("transforms", "kind", registry.TRANSFORMS),
    )
    for key, choice, known in kinds:
        entries = {"type": "object", "properties": {choice: {"enum": list(known)}}}
        document["properties"][key] |= {"additionalProperties": entries, "patternProperties": {}}
    return document


def text() -> str:
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

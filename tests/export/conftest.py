"""What tests of exports share."""

import pytest


@pytest.fixture
def without_onnx(monkeypatch) -> None:
    """Where the card alone is looked at: writing ONNX takes seconds."""
    facts = {"opset": 18, "features": 96, "map": [96, 1, 1], "deviation": 1e-7}
    monkeypatch.setattr("sslbench.export.onnx.write", lambda backbone, path, pool: path.write_bytes(b"") or facts)

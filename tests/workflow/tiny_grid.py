"""A small grid on drawn pictures that runs through every rule in a minute, and what a run printed."""

import subprocess

TINY = {
    "name": "tiny",
    "title": "Tiny",
    "note": "A test.",
    "grid": [{"datasets": ["drawn"], "models": ["simclr", "vicregl-0.50"], "transforms": ["simclr", "dcl"]}],
    "references": {"random": True, "supervised": ["simclr"]},
    "datasets": {"drawn": {"kind": "shapes", "pack_size": 32, "train_per_class": 16, "test_per_class": 8}},
    "training": {
        "backbone": "test_resnet",
        "backbone_options": {"output_stride": 16},
        "input_size": 32,
        "batch_size": 32,
        "epochs": 1,
        "precision": "fp32",
        "measure_every": 1,
    },
    "compute": {"allow_cpu": True, "device": "cpu", "threads": 1},
}


def our_line(done: subprocess.CompletedProcess) -> str:
    """The one line of ours in Snakemake's output, and no traceback of ours."""
    text = done.stdout + done.stderr
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("sslbench:")]
    assert "Traceback" not in text, text
    assert done.returncode != 0
    assert len(lines) == 1, text
    return lines[0]

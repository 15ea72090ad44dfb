"""The GPU benchmark's figures: what can be known of them without a GPU."""

import json

import pytest
import torch

from benchmarks import gpu, step


def test_minutes_of_200_epochs_are_full_batches_times_seconds():
    assert gpu.minutes_of(0.03, 9469, 256) == pytest.approx(200 * 36 * 0.03 / 60)
    assert gpu.minutes_of(0.03, 12894, 256) == pytest.approx(200 * 50 * 0.03 / 60)


@pytest.mark.parametrize(
    ("method", "options", "minutes"),
    [
        ("simclr", {}, 135.8),
        ("byol", {}, 160.9),
        ("vicregl", {"alpha": 0.75, "form": "lightly-1.2"}, 159.3),
        ("vicregl", {"alpha": 0.75, "form": "paper"}, None),
        ("vicregl", {"alpha": 0.6, "form": "lightly-1.2"}, None),
    ],
)
def test_the_articles_minutes_are_those_of_method_and_options(method, options, minutes):
    assert gpu.article_minutes(method, options) == minutes


def test_the_work_of_a_step_is_that_of_forward_and_backward():
    """A linear layer: one product forward, two backward; the first layer's input needs no gradient."""
    first, second = torch.nn.Linear(8, 16, bias=False), torch.nn.Linear(16, 4, bias=False)
    images = torch.randn(32, 8)
    done = gpu.work_of(lambda: second(first(images)).sum().backward())
    assert done == 2 * 32 * (2 * 8 * 16 + 3 * 16 * 4)


def test_the_table_sets_extrapolations_beside_the_article():
    row = gpu.Measured("simclr", 0.030, 0.028, 0.002, 9_000_000_000, 2_000_000_000, 5.6e12, 135.8)
    lines = gpu.table([row], 256, 700e12, 0.3)
    assert lines[1].split() == ["simclr", "30.0", "6.7%", "17,067", "3.6", "5.0", "135.8", "27.2x", "7.00", "26.7%"]
    assert lines[2].split()[:5] == ["lightly", "300.0", "1,707", "36.0", "50.0"] and "10.0x ours" in lines[2]


def test_it_runs_end_to_end_on_a_cpu_and_ends_in_a_table(tmp_path, capsys):
    found = gpu.main(["--device", "cpu", "--quick", "--method", "simclr", "--json", str(tmp_path / "gpu.json")])
    assert [row.method for row in found["rows"]] == ["simclr"] and found["lightly"] > 0 and not found["left_out"]
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["tables"][0]["ratios"][0]["peer"] == "lightly"
    assert "tests/training/test_gpu.py" in capsys.readouterr().out


def test_what_does_not_fit_the_time_is_left_out_and_said_so(capsys):
    found = gpu.main(["--device", "cpu", "--quick", "--minutes", "0.01", "--method", "simclr", "--method", "byol"])
    assert [line.split(":")[0] for line in found["left_out"]][-1] == "lightly's way"
    assert "left out" in capsys.readouterr().out


def test_the_step_benchmark_tells_the_share_outside_the_model(capsys):
    step.main(["--quick", "--repeats", "1", "--precision", "fp32"])
    shown = capsys.readouterr().out
    assert "outside the model, cpu" in shown and "ratio model alone / whole step" in shown

"""The model card: front matter as the Hugging Face hub reads it, then what a stranger must know. No torch.

The hub's keys are those of its model card specification: library_name, pipeline_tag, tags, datasets, and model-index
(task, dataset, metrics with type, value, name and args). Its ``license`` is left out: whose weights they are is not
for a program to say.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from sslbench.data import leaks
from sslbench.report.wording import counted, split_words

LOAD = """```python
import timm, torch
from PIL import Image

model = timm.create_model("local-dir:{folder}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
features = model(transform(Image.open("picture.jpg").convert("RGB"))[None])  # [1, {features}]
```"""


def write(about: dict, files: Mapping[str, dict], config: dict, onnx: dict) -> str:
    """README.md as text.

    Args:
        about: dataset, evaluated_on, model, transform, seed, title, paper, family, folder, command, collapsed,
            exclude_test.
        files: run.json, ledger.json, linear.json, knn.json and health.json, by name without the ending; where nothing
            is labelled, labelfree.json in place of linear and knn. Also leaks, as data/leaks.py writes it.
        config: config.json as exported. onnx: what export.onnx.write returned.
    """
    front = yaml.safe_dump(front_matter(about, files), sort_keys=False, allow_unicode=True, width=120)
    run, backbone = files["run"], config["architecture"]
    settings = run["settings"]
    trained = settings["train"]["epochs"] > 0
    how = f"pretrained with {about['title']}" if trained else "as it is initialised, not trained"
    parts = [
        f"---\n{front}---",
        f"# {backbone}, {how}, on {about['dataset']}",
        *warning(about, files["health"]),
        *_leaked(about, files),
        _lead(about, files, config),
        "## Load it",
        LOAD.format(folder=about["folder"], features=config["num_features"]),
        "From a hub, `hf-hub:<owner>/<name>` takes the place of `local-dir:...`. `model.forward_features(images)` "
        "gives the map or the tokens; `num_classes=10` in `create_model` puts a new linear head on it.",
        "## ONNX",
        onnx_text(config, onnx),
        "## What it was trained on, and how",
        table(_how(about, run, settings)),
        "## How good it is",
        good(about, files),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(about, files, config)),
        "## Where it comes from",
        table(origin(about, files)),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(about: dict, files: Mapping[str, dict]) -> dict:
    """The card's metadata, as the hub reads them; figures only where there are any."""
    settings = files["run"]["settings"]
    tags = ["image-feature-extraction", "timm", "self-supervised-learning", "sslbench", settings["method"]["name"]]
    front = {
        "library_name": "timm",
        "pipeline_tag": "image-feature-extraction",
        "tags": [*tags, *["collapsed"] * bool(about["collapsed"])],
    }
    return front | model_index(about, files)


def model_index(about: Mapping[str, Any], files: Mapping[str, dict]) -> dict:
    """The figures as the hub reads them; {} where there are none."""
    found, judged = _metrics(about, files), about["evaluated_on"]
    task = {"type": "image-classification", "name": "Image classification by a linear probe or nearest neighbours"}
    result = {"task": task, "dataset": {"type": judged, "name": judged, "split": "test"}, "metrics": found}
    return {"model-index": [{"name": _name(about), "results": [result]}]} if found else {}


def _metrics(about: Mapping[str, Any], files: Mapping[str, dict]) -> list[dict]:
    """Top-1 and top-5 of the linear probe and of kNN, each with the pictures tested and its interval."""
    if "linear" not in files:
        return []
    found = []
    reports = [("linear probe", files["linear"])]
    reports += [(f"{k} nearest neighbours", v) for k, v in sorted(_neighbours(files["knn"]).items())]
    for what, report in reports:
        for key, interval in (("top1", "interval"), ("top5", "interval5")):
            if report.get(key) is None:
                continue
            arguments = {"n": files["linear"]["n"], "confidence": files["linear"]["confidence"]}
            if leaked := leaks_of(about, files):
                arguments["test_images_in_pretraining"] = leaked["found"]
            if report.get(interval):
                arguments["interval"] = [round(100 * end, 2) for end in report[interval]]
            name = f"{what}, top-{key[3:]} accuracy, %"
            value = round(100 * report[key], 2)
            found.append({"type": "accuracy", "value": value, "name": name, "args": arguments})
    return found


def _neighbours(knn: dict) -> dict[int, dict]:
    return {int(k): v for k, v in knn.items() if k.isdigit()}


def _name(about: Mapping[str, Any]) -> str:
    return f"{about['dataset']}/{about['model']}/{about['transform']}/seed{about['seed']}"


def warning(about: Mapping[str, Any], health: dict) -> list[str]:
    evidence = "; ".join(health.get("evidence") or ["no evidence stored"])
    if about["collapsed"]:
        return [
            f"> **Collapsed.** Its features do not tell pictures apart ({evidence}). It is exported because it was "
            "asked for, e.g. to study collapse; it is of no use as a backbone."
        ]
    if health.get("verdict") == "suspicious":
        return [f"> **Suspicious.** A sign of collapse was seen ({evidence}). Look at its figures before you use it."]
    return []


def leaks_of(about: Mapping[str, Any], files: Mapping[str, dict]) -> dict | None:
    """leaks.json, where this cell was pretrained on images that it is tested on."""
    found, epochs = files.get("leaks"), files["run"]["settings"]["train"]["epochs"]
    return found if found and found["found"] and epochs and not about["exclude_test"] else None


def _leaked(about: dict, files: Mapping[str, dict]) -> list[str]:
    found = leaks_of(about, files)
    if found is None:
        return []
    first = found["pairs"][0]
    return [
        f"> **Test images in the pretraining set.** Of {about['evaluated_on']}, {leaks.told(found)}, e.g. "
        f"{_quoted(first['test'])} as {_quoted(first['train'])}. Its figures may be too high."
    ]


def _quoted(name: str) -> str:
    return f"`{name.replace('`', chr(39))}`"


def _lead(about: dict, files: Mapping[str, dict], config: dict) -> str:
    run = files["run"]
    size = config["pretrained_cfg"]["input_size"][-1]
    text = (
        f"A {config['architecture']} without classifier: {run['parameters'] / 1e6:.1f} M parameters, "
        f"{config['num_features']} features, pictures of {size} px. "
    )
    if not run["settings"]["train"]["epochs"]:
        return text + "A reference to hold others against."
    labels = "with labels" if about["family"] == "reference" else "without labels"
    return text + f"Trained {labels} on {about['dataset']} by {about['title']} ({about['paper']})."


def onnx_text(config: dict, onnx: dict) -> str:
    channels, height, width = onnx["map"]
    size = config["pretrained_cfg"]["input_size"][-1]
    checked = (
        "It was not checked: there was no onnxruntime."
        if onnx["deviation"] is None
        else f"On random pictures its answers deviate from the original's by {onnx['deviation']:.0e} of their largest "
        "value at most."
    )
    return (
        f"`model.onnx` (opset {onnx['opset']}) takes `images` [n, 3, {size}, {size}], any n, normalised by "
        f"config.json, and gives `features` [n, {onnx['features']}] and `map` "
        f"[n, {channels}, {height}, {width}], what a detector or a language model reads: as tokens, "
        f"`map.reshape(n, {channels}, -1).transpose(0, 2, 1)`. {checked}"
    )


def _how(about: dict, run: dict, settings: dict) -> list[tuple[str, str]]:
    train, data = settings["train"], settings["dataset"]
    rows = [
        ("pictures", f"{data['source']}, split {split_words(data['split'])}"),
        ("content, sha256", str(run["data"].get("content_sha256", "not known"))),
        ("method", f"{about['title']} (`{about['model']}`): {_plain(settings['method']['options'])}"),
    ]
    if settings.get("auxiliary"):
        rows.append(("pretext tasks beside it", _plain(settings["auxiliary"])))
    if train["epochs"]:
        branches = [", ".join(_operation(o) for o in branch) for branch in settings["transform"]]
        second = f"; second view: {branches[1]}" if branches[1] != branches[0] else ""
        rows += [
            ("transform", f"`{about['transform']}`: {branches[0]}{second}"),
            ("epochs, batch", f"{counted(train['epochs'], 'epoch')}, {train['batch_size']} pictures a step"),
            ("recipe", _plain({k: v for k, v in settings["recipe"].items() if v is not None})),
            ("precision", str(train["precision"])),
        ]
    return [*rows, ("seed", str(settings["seed"]))]


def good(about: Mapping[str, Any], files: Mapping[str, dict], of: str = "of the last epoch") -> str:
    """Its accuracies with their intervals, or the measures without labels."""
    health = files["health"]
    rows = []
    for metric in _metrics(about, files):
        ends = metric["args"].get("interval")
        percent = f"{100 * metric['args']['confidence']:g} %"
        shown = f"{metric['value']:.2f}" + (f" ({percent}: {ends[0]:.2f} to {ends[1]:.2f})" if ends else "")
        rows.append((metric["name"], shown))
    rank, width = health.get("effective_rank"), health.get("features")
    shown = "" if rank is None else f": effective rank {rank:.1f} of {width}, channel deviation {_short(health)}"
    rows.append(("health", f"{health.get('verdict', 'not judged')}{shown}"))
    if "linear" not in files:
        found = files["labelfree"]
        for name in ("rankme", "alpha", "lidar"):
            rows.append((name, "not measured" if found[name] is None else f"{found[name]:.4g}"))
        return (
            "Nothing is labelled, so no accuracy was measured. What its features say of themselves, on "
            f"{found['n']:,} training pictures:\n\n" + table(rows)
        )
    linear, judge = files["linear"], about["evaluated_on"]
    chosen_on = "held-out ones" if "chosen_on" not in linear else f"{linear['n_val']:,} val pictures"
    return (
        f"Frozen, {of}, on {linear['n']:,} test pictures of {judge} in {linear['classes']:,} classes; the "
        f"probe is fitted on {linear['n_train']:,} training pictures, its penalty chosen on {chosen_on}.\n\n"
        + table(rows)
    )


def _limits(about: dict, files: Mapping[str, dict], config: dict) -> list[str]:
    run, linear = files["run"], files.get("linear")
    size, identity = config["pretrained_cfg"]["input_size"][-1], run["settings"]["dataset"]["identity"]
    left_out = files.get("leaks", {}).get("copies", 0) if about["exclude_test"] else 0
    lines = [
        *[f"{counted(left_out, 'image')} that show the same as test images were left out of pretraining."]
        * bool(left_out),
        f"Its figures hold for pictures like those of {about['evaluated_on']}, at {size} px. On others nothing was "
        "measured.",
        "The intervals cover the choice of test pictures, not the luck of a training run: this is one seed."
        if linear
        else "The measures compare rows of one network at one size; they are no accuracy.",
    ]
    if run["settings"]["train"]["epochs"]:
        lines.append(
            f"It has seen {run['settings']['dataset']['source']} and nothing else"
            + (
                ". Some of its training pictures are of ImageNet's validation set, which is no fair test of it."
                if identity.get("kind") in ("imagenette", "imagewoof") and identity.get("version") == 2
                else "."
            )
        )
    if linear and linear["n"] < 1000:
        lines.append(f"With {linear['n']:,} test pictures, differences of a few points are within chance.")
    return [*lines, "No licence is stated here. The pictures have terms of their own; see to both before you publish."]


def origin(about: Mapping[str, Any], files: Mapping[str, dict], of: str = "training") -> list[tuple[str, str]]:
    """What made it, and when; ``of``: what the ledger's minutes were spent on."""
    run, ledger = files["run"], files["ledger"]
    commit = str(ledger.get("commit") or "not known") + (" with changes" if ledger.get("clean") is False else "")
    unnamed = ("views", "threads")
    versions = ", ".join(f"{name} {value}" for name, value in run["versions"].items() if value and name not in unnamed)
    minutes = (ledger.get("seconds") or {}).get("total")
    rows = [
        ("digest of settings, code and data", run["digest"]),
        ("commit", commit),
        ("versions", versions),
        ("hardware", str(ledger.get("device") or "not known")),
        ("made by", f"`{about['command']}`"),
    ]
    return rows if minutes is None else [*rows, (f"minutes of {of}", f"{minutes / 60:.1f}")]


def table(rows: list[tuple[str, str]]) -> str:
    cells = [(name, value.replace("|", "\\|").replace("\n", " ")) for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells)])


def _plain(values: Mapping[str, Any]) -> str:
    told = (f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items())
    return ", ".join(told) or "no options"


def _operation(operation: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in operation.items() if name != "op" and operation["op"] != "normalize"}
    return f"{operation['op']} ({_plain(rest)})" if rest else operation["op"]


def _short(health: dict) -> str:
    value = health.get("channel_std")
    return "not known" if value is None else f"{value:.3g}"

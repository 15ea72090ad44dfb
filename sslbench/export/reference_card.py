"""The model card of a pretrained backbone, exported as it was judged. No torch.

The weights are others': whose they are, what may be done with them and what they have seen comes before how good they
are. The hub's keys are those of model_card.py, and ``base_model`` and ``license``.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from sslbench.data import weights_licence
from sslbench.data.pretraining_data import described, of_row, timm_name
from sslbench.data.seen import Verdict
from sslbench.data.weights_licence import Use
from sslbench.export import model_card as card

LOAD = """```python
import timm, torch
from PIL import Image

model = timm.create_model("local-dir:{folder}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
tokens = model.forward_features(transform(Image.open("picture.jpg").convert("RGB"))[None])
features = {code}  # [1, {features}], the {pool}
```"""
PUBLISH = {
    Use.FORBIDS_COMMERCIAL: "This copy is for non-commercial use too, and so may be what you train from it: publish "
    "neither without the licence's text.",
    Use.CONDITIONS: "Its conditions go with this copy, and may with what you train from it: put the licence's text "
    "into this folder before you publish it.",
    Use.PERMISSIVE: "You may publish this copy: put the licence's notice into this folder.",
    Use.UNKNOWN: "Do not publish this copy before you know.",
}


def write(
    about: Mapping[str, Any],
    files: Mapping[str, dict],
    config: dict,
    export: Mapping[str, Any],
    verdict: Verdict | None,
) -> str:
    """README.md as text.

    Args:
        about, files, config: as for model_card.write; of ``about`` also ``weights``, their name, and ``seen``.
        export: what export.onnx.write returned; ``code``, the Python of the features that were judged, "" where timm's
            network gives them; ``tag``, the hub's owner/name, "" where there is none.
        verdict: what the weights have seen of the test images; None where nothing is labelled.
    """
    run, tag = files["run"], export["tag"]
    told = run["weights"]
    front = yaml.safe_dump(front_matter(about, files, tag, verdict), sort_keys=False, allow_unicode=True, width=120)
    pool = run["pooling"]["chosen"]
    load = LOAD if export["code"] else card.LOAD
    named = {"folder": about["folder"], "features": export["features"], "code": export["code"], "pool": pool}
    parts = [
        f"---\n{front}---",
        f"# {config['architecture']}, weights {tag or about['weights']}, judged on {about['dataset']}",
        *card.warning(about, files["health"]),
        *_seen_first(about, verdict),
        f"A {config['architecture']} without classifier: {run['parameters'] / 1e6:.1f} M parameters, "
        f"{export['features']} features ({pool}), images of {told['input_size']} px. Its weights are others', not "
        "trained here: sslbench judged them frozen.",
        "## Load it",
        load.format(**named),
        "From a hub, `hf-hub:<owner>/<name>` takes the place of `local-dir:...`. `num_classes=10` in `create_model` "
        "puts a new linear head on it.",
        "## ONNX",
        card.onnx_text(config, export),
        "## Whose weights, and what may be published",
        card.table(_whose(about, run, tag)),
        _licence(run).note + " " + PUBLISH[_licence(run).use] + " None of this is legal advice.",
        "## What they have seen",
        card.table(_seen(about, run, verdict)),
        "## How images go in, and features come out",
        card.table(_how(run, config)),
        "## How good it is",
        card.good(about, files, "as they were published"),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(about, files)),
        "## Where it comes from",
        card.table(card.origin(about, files, of="embedding")),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(about: Mapping[str, Any], files: Mapping[str, dict], tag: str, verdict: Verdict | None) -> dict:
    """The card's metadata, as the hub reads them: no figures where the weights have seen the test images."""
    run = files["run"]
    return {
        "library_name": "timm",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["image-feature-extraction", "timm", "sslbench", *["collapsed"] * bool(about["collapsed"])],
        **weights_licence.front_matter(*_licence_of(run)),
        **({"base_model": tag} if tag else {}),
        **(card.model_index(about, files) if verdict and verdict.ranked else {}),
    }


def _licence_of(run: Mapping[str, Any]) -> tuple[str | None, str]:
    return run["weights"].get("licence"), timm_name(run["settings"]["method"]["options"])


def _licence(run: Mapping[str, Any]) -> weights_licence.Licence:
    return weights_licence.of(*_licence_of(run))


def _seen_first(about: Mapping[str, Any], verdict: Verdict | None) -> list[str]:
    if verdict is None or verdict.ranked:
        return []
    return [
        f"> **Pretrained on test images of {about['evaluated_on']}.** {verdict.explanation} Its figures do not say how "
        "good it is on other images."
    ]


def _whose(about: Mapping[str, Any], run: Mapping[str, Any], tag: str) -> list[tuple[str, str]]:
    told, licence = run["weights"], _licence(run)
    revision = run["settings"]["method"]["options"].get("revision")
    return [
        ("weights", f"[{tag}](https://huggingface.co/{tag})" if tag else "a file of the user's own"),
        *([("revision", revision)] if revision else []),
        ("sha256 of the file that was read", f"{told['sha256']} ({told['size']:,} bytes)"),
        ("licence", f"[{licence.title}]({licence.url})" if licence.url else licence.title),
    ]


def _seen(about: Mapping[str, Any], run: Mapping[str, Any], verdict: Verdict | None) -> list[tuple[str, str]]:
    known = of_row(run["weights"], run["settings"]["method"]["options"], about["seen"])
    rows = [("trained on", described(known))]
    if verdict is not None:
        rows.append((f"test images of {about['evaluated_on']}", f"{verdict.consequence} {verdict.explanation}"))
    return rows


def _how(run: Mapping[str, Any], config: Mapping[str, Any]) -> list[tuple[str, str]]:
    made, pooling = config["pretrained_cfg"], run["pooling"]
    tried = ", ".join(f"{name} {100 * score:.1f} %" for name, score in pooling["tried"].items())
    return [
        ("size", f"{made['input_size'][-1]} px, a centred square of the shortest side over {1 / made['crop_pct']:g}"),
        ("interpolation", f"{made['interpolation']}, with antialiasing"),
        ("mean", ", ".join(f"{value:g}" for value in made["mean"])),
        ("standard deviation", ", ".join(f"{value:g}" for value in made["std"])),
        ("features", pooling["chosen"] + (", chosen on held-out training images" if tried else "")),
        *([("top-1 on those", tried)] if tried else []),
    ]


def _limits(about: Mapping[str, Any], files: Mapping[str, dict]) -> list[str]:
    linear = files.get("linear")
    few = bool(linear) and linear["n"] < 1000
    return [
        f"Its figures hold for images like those of {about['evaluated_on']}. On others nothing was measured.",
        *["The intervals cover the choice of test images."] * bool(linear),
        *[f"With {linear['n'] if linear else 0:,} test images, differences of a few points are within chance."] * few,
    ]

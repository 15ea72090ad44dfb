"""Fine-tuning: the whole published backbone with a linear head, trained on a share of the labels.

Every share and draw is one run of the supervised reference from the backbone's weights, on the pictures drawn. It goes
through the engine as pretraining does, and through the store: a job that is killed goes on from the last checkpoint of
the run it was in, and finished runs are kept. A run's place in the store depends on the content of its weights.
"""

import contextlib
import json
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import safetensors.torch
import torch

from sslbench.errors import UserError
from sslbench.evaluation import write_result as results
from sslbench.evaluation.finetune_run import Chosen, Tuning, right_answers, run_key, run_settings
from sslbench.evaluation.label_fractions import draw, draws_of, summary
from sslbench.runtime.files import file_sha256
from sslbench.store import code_check
from sslbench.store.canonical_json import document
from sslbench.store.entries import check, locked
from sslbench.training.data_placement import place
from sslbench.training.device import computing, resolved
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.monitor.progress import Progress
from sslbench.training.run import give_up, resume, run, stop_signals
from sslbench.transforms.cpu import backend

RESULT = "finetuned.json"  # of one run, in the store


def finetune(
    settings: dict[str, Any],
    code: str,
    backbone_file: Path,
    run_file: Path,
    pack: Path,
    output: Path,
    *,
    state_root: Path,
    device: str,
    threads: int,
    checkpoint_minutes: float = 5.0,
    placement: str = "auto",
    views: backend.Mode = "auto",
    progress: TextIO | None = None,
) -> None:
    """Write finetune.json: accuracy on all test pictures by share of the labels; ``runs``, their names in the store.

    Args:
        settings: ``cell``, a cell's settings for the supervised reference, whose epochs, batch size and seed are set
            here; ``shares``, ``draws``, ``epochs``, ``least_steps``, ``batch_size``, ``resize_ratio``, ``confidence``.
        code: digest of the code that trains (downstream.training_code).
        backbone_file: where every run starts. Weights that are not finite leave entries without figures.
        Others: as for training.run.fit.

    Raises:
        Interrupted: a signal came; the same call goes on.
        UserError: no labelled pictures, a diverged loss, no such device.
    """
    device = resolved(device)
    cell, split = settings["cell"], settings["cell"]["dataset"]["split"]
    packed = Chosen.open(pack, verify=True)
    whole = packed.split(split)
    parts = {part: np.sort(whole[part][packed.labels[whole[part]] >= 0]) for part in ("train", "test")}
    for part, rows in parts.items():
        if not len(rows):
            raise UserError(
                f"{packed.manifest['source']}: split {split!r} has no labelled {part} pictures; name a labelled "
                "dataset under evaluate_on"
            )
    data = {"content_sha256": packed.manifest["content_sha256"], "split_sha256": packed.split_sha256(split)}
    check(Path(backbone_file))
    start = file_sha256(Path(backbone_file))
    usable = all(values.isfinite().all() for values in safetensors.torch.load_file(backbone_file).values())
    entries, runs = [], []
    with computing(device, threads, cell["train"]) as where, stop_signals() as stop:
        backend.configure("eager" if where.cuda else views)
        code_check.still_there()
        placed = False
        for share in settings["shares"]:
            right = []
            for number in draws_of(share, settings["draws"]):
                chosen = parts["train"][draw(torch.from_numpy(packed.labels[parts["train"]]), share, number).numpy()]
                one = run_settings(settings, len(chosen), number)
                steps = one["train"]["epochs"] * (len(chosen) // one["train"]["batch_size"])
                entry = {"share": share, "n_train": len(chosen), "draws": number + 1, "steps": steps}
                if not usable:
                    continue
                shown = Progress(f"finetune on {len(chosen)} labels, draw {number + 1}", progress)
                key = run_key(one, chosen, start, settings["resize_ratio"], code, data)
                runs.append(key)
                with locked(state_root, key, shown.say, lambda: give_up(stop)) as kept:
                    if not kept.finished():
                        if not placed:
                            shown.say(place(packed, where, placement))
                            placed = True
                        packed.chosen = chosen
                        ledger = Ledger(where, threads)
                        training = Tuning(one, packed, where, ledger, Path(backbone_file))
                        resume(training, kept, shown)
                        with contextlib.closing(training):
                            run(training, kept, shown, stop, checkpoint_minutes * 60)
                        count = right_answers(training, parts["test"], cell["input_size"], settings["resize_ratio"])
                        code_check.still_there(late=True)
                        kept.publish({RESULT: document({"right": count}), "ledger.json": document(ledger.document())})
                        packed.chosen = None
                    right.append(json.loads((kept.done / RESULT).read_text(encoding="utf-8"))["right"])
            if usable:
                entry |= summary(right, len(parts["test"]), settings["confidence"])
            entries.append(entry)
    classes = len(packed.classes)
    found = {"n": len(parts["test"]), "classes": classes, "entries": entries, "runs": runs}
    results.write(output, run_file, settings, found)

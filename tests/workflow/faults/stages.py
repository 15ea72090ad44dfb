"""One cell's jobs, from fetch to report, run as Snakemake runs them, but each from the nursery's fork."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from snakemake.utils import update_config

from sslbench.grid import downstream_tasks
from sslbench.grid import plan as planning
from sslbench.grid.expand import load
from sslbench.grid.report_plan import report_plan
from sslbench.store import code_check
from sslbench.store.canonical_json import canonical
from sslbench.store.code_fingerprint import code_digest
from tests.workflow.tiny_grid import TINY

ROOT = Path(__file__).parents[3]
STAGES = (
    "fetch", "pack", "leaks", "pretrain", "embed", "evaluate", "speed", "labelfree", "look",
    "gallery", "collect", "album", "report",
)  # fmt: skip
ONE_CELL = TINY | {
    "grid": [{"datasets": ["drawn"], "models": ["simclr"], "transforms": ["simclr"]}],
    "references": {"random": False, "supervised": []},
    "datasets": {"drawn": TINY["datasets"]["drawn"] | {"train_per_class": 8, "test_per_class": 4}},
    "training": TINY["training"] | {"batch_size": 16, "epochs": 3},
    # A checkpoint after every step, and several processes that pack
    "compute": TINY["compute"] | {"checkpoint_minutes": 1e-9, "pack_jobs": 2},
}


def merged(overlay: dict) -> dict:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, overlay)
    return config


def code_of(stage: str, settings: dict) -> str:
    checked = ("pretrain", "embed", "evaluate", "labelfree")  # by the job itself
    return code_digest(*code_check.roots(stage, settings)) if stage in checked else "of the test"


class Jobs:
    """What Snakemake would hand to each script. ``files[stage]``: the outputs that it declares."""

    def __init__(self, overlay: dict = ONE_CELL) -> None:
        config = merged(overlay)
        checked = load(config)
        plan = planning.Plan(checked)
        (self.cell,) = plan.cells
        cell, name = self.cell, checked.name
        data, collected, reports = Path("data"), Path("results/collected", name), Path("reports", name)
        source = f"{data}/sources/{cell.dataset.source}/source.json"
        self.pack = data / "packed" / cell.dataset.pack
        manifest, folder = f"{self.pack}/manifest.json", str(cell.folder)
        self.folder = cell.folder
        run = {key: f"{folder}/{file}" for key, file in (("run", "run.json"), ("curve", "curve.csv"))}
        backbone = {"backbone": f"{folder}/backbone.safetensors"}
        features = {part: f"{folder}/features-{part}.safetensors" for part in ("train", "test")}
        judged = {key: f"{folder}/{key}.json" for key in ("linear", "knn", "health")}
        embedding = {
            "backbone": cell.settings["backbone"],
            "input_size": cell.settings["input_size"],
            "dataset": cell.evaluated_data,
            "resize_ratio": checked.evaluation.resize_ratio,
        }
        from sslbench.config.evaluation import APART

        evaluation = checked.evaluation.model_dump(mode="json", exclude={"resize_ratio", *APART})
        gallery = {"transforms": plan.gallery(), "size": checked.training.input_size}
        table = {"table": f"{collected}/cells.csv", "report": f"{collected}/report.json"}
        pages = {"html": f"{reports}/report.html", "markdown": f"{reports}/report.md"}
        picture, seen, thumbs = f"{collected}/gallery.json", f"{folder}/look.json", f"{collected}/album.json"
        pairs = {
            "fetch": ([], [source], None),
            "pack": ([source], {"manifest": manifest, "doctor": f"{self.pack}/doctor.json"}, None),
            "leaks": (
                {"trained": manifest, "tested": manifest},
                {key: f"{data}/leaks/drawn.{end}" for key, end in (("found", "json"), ("copies", "npy"))},
                {"pretraining": cell.dataset.split, "test": cell.dataset.split},
            ),
            "pretrain": ([manifest], backbone | run | {"ledger": f"{folder}/ledger.json"}, cell.settings),
            "embed": ({"manifest": manifest, **backbone}, features, embedding),
            "evaluate": (features | run, judged | {"predictions": f"{folder}/predictions.parquet"}, evaluation),
            "speed": (
                [],
                [f"{data}/speed/network.json"],
                {key: cell.settings[key] for key in ("backbone", "input_size")},
            ),
            "labelfree": (
                {"manifest": manifest, **backbone, "run": run["run"]},
                [f"{folder}/labelfree.json"],
                json.loads(downstream_tasks.text(checked, cell, "labelfree")),
            ),
            "look": (features, [seen], {}),
            "gallery": ([manifest], [picture], gallery),
            "collect": ([], table, report_plan(plan, ["overlay.yaml"])),
            "album": ({"report": table["report"], "looks": [seen]}, [thumbs], {}),
            "report": ({"report": table["report"], "gallery": [picture], "album": [thumbs]}, pages, {}),
        }
        self.said, self.files = {}, {}
        for stage, (given, made, settings) in pairs.items():
            self.said[stage] = {
                "input": given,
                "output": made,
                "params": {"settings": canonical(settings), "code": code_of(stage, settings)}
                if settings is not None
                else {},
                "wildcards": {"source": cell.dataset.source, "pack": cell.dataset.pack},
                "log": [f"logs/{stage}.log"],
                "config": config,
                "threads": checked.compute.packing_jobs() if stage in ("pack", "leaks") else 1,
            }
            self.files[stage] = [Path(file) for file in (made.values() if isinstance(made, dict) else made)]


class Nursery:
    """The process that forks jobs, which run in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outside = tempfile.TemporaryDirectory()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        environment.pop("SSLBENCH_TALLY", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.workflow.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert self.process.stdout.readline() == "ready\n"
        self.jobs = Jobs()

    def close(self) -> None:
        self.process.kill()  # nothing is lost with it, and leaving properly takes torch seconds
        self.process.communicate()
        self.outside.cleanup()

    def start(self, stage: str, fault: dict | None = None, calls: bool = False) -> int:
        """The job's process id. As Snakemake does, what it declares is deleted first.

        ``fault`` is what nursery.arm makes go wrong.
        """
        for file in self.jobs.files[stage]:
            (self.folder / file).unlink(missing_ok=True)
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        job = {"script": str(ROOT / f"workflow/scripts/{stage}.py"), "snakemake": self.jobs.said[stage]}
        outside = self.outside.name  # a full disk is not for what the tests themselves write
        job |= {
            "stderr": f"{outside}/stderr",
            "folder": str(self.folder),
            "fault": fault,
            "calls": f"{outside}/calls" if calls else None,
        }
        self.stderr, self.calls = Path(job["stderr"]), Path(f"{outside}/calls")
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """How the job ended: its exit code, or minus the signal."""
        return int(self.process.stdout.readline())

    def run(self, stage: str, **options: object) -> int:
        self.start(stage, **options)
        return self.wait()

    def must(self, stage: str) -> None:
        assert self.run(stage) == 0, self.stderr.read_text()

    def kill_after(self, stage: str, seconds: float) -> int:
        """SIGKILL to the job after so long. Returns how it ended: it may have been done by then."""
        pid = self.start(stage)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self.wait()

    def message(self) -> str:
        """The one line of ours that the last job left; nothing else may stand there."""
        lines = self.stderr.read_text().splitlines()
        ours = [line for line in lines if line.startswith("sslbench: ")]
        assert len(ours) == 1, lines
        assert not any("Traceback" in line for line in lines), lines
        return ours[0]

    def log(self, stage: str) -> str:
        return (self.folder / f"logs/{stage}.log").read_text()


def written(folder: Path, ledger: bool = False) -> dict[str, bytes]:
    """Every file that results and reports consist of, and the data; by path, without what may differ between runs.

    Left out: ledgers, measured times, logs, the store (its entry is linked from the results), the mark of a verified
    pack, and the time that Snakemake notes in a folder that is an output.
    """
    left_out = {"verified.json", ".snakemake_timestamp"} | (set() if ledger else {"ledger.json"})
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        kept = path.suffix != ".csv" or inside.parts[0] == "results"  # reports/ holds what was published, too
        kept &= inside.parts[0] in ("data", "results", "reports") and ".store" not in inside.parts
        kept &= inside.parts[:2] != ("data", "speed")
        if kept and path.is_file() and path.name not in left_out:
            found[str(inside)] = path.read_bytes()
    return found


def leftovers(folder: Path) -> list[str]:
    """Files that an undisturbed run does not leave, in the store and elsewhere."""
    names = (".tmp", ".part", ".new", "staging", "writing")
    return [str(path) for path in folder.rglob("*") if any(word in path.name for word in names)]


def copy(source: Path, target: Path) -> None:
    """With hard links kept, as between a cell's results and its store."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)

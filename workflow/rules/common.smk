# The validated configuration, the cells of the grid, and what rules ask of them.

import os
import sys
from functools import cache
from pathlib import Path

from snakemake.io import _IOFile

from sslbench import registry
from sslbench.config.compute import GROUPED, RESOURCES
from sslbench.config.evaluation import APART
from sslbench.data.sources import content
from sslbench.grid import cost
from sslbench.grid import finished as finished_cells
from sslbench.grid import downstream_tasks as downstream
from sslbench.grid import plan as planning
from sslbench.grid import pretrained
from sslbench.grid.cell import encoding
from sslbench.grid.deduplicate import fold
from sslbench.grid.expand import load
from sslbench.grid.preflight import check_images, check_targets, require_models
from sslbench.grid.report_plan import report_plan, template_files
from sslbench.jobs import snakemake_lock as runlock
from sslbench.report import studies
from sslbench.runtime.files import file_sha256, read_object
from sslbench.store import code_fingerprint as fingerprint
from sslbench.store import code_check as sources
from sslbench.store.canonical_json import canonical
from sslbench.store.code_fingerprint import code_digest

if workflow.is_main_process and (line := runlock.hold()):
    print(f"sslbench: {line}", file=sys.stderr)


fingerprint.recall_parsed()
CONFIG = one_line(load, config)
PLAN = one_line(planning.Plan, CONFIG)
one_line(check_targets, PLAN, sys.argv[1:])
if workflow.is_main_process:  # jobs repeat what only they can know
    for line in one_line(check_images, PLAN):
        print(f"sslbench: {line}", file=sys.stderr)
    one_line(require_models, PLAN.waiting_backbones)
DEVICE = cost.device(CONFIG)
DATA, RESULTS = CONFIG.paths.data, CONFIG.paths.results
CELL = f"{RESULTS}/{{dataset}}/{{model}}/{{transform}}/seed{{seed}}"
REPORTS = CONFIG.paths.reports / CONFIG.name
COLLECTED = RESULTS / "collected" / CONFIG.name
GALLERY_DATASET = next((cell.dataset for cell in PLAN.runnable), next(iter(PLAN.datasets.values())))
LABELS = {name: f"{{{name}}}" for name in ("model", "transform", "seed")}  # of a cell's files in `snakemake --report`
PRETRAINED = [cell.model.name for cell in PLAN.cells if cell.model.weights]  # rows that rules of their own make
TRAINED = planning.alternatives(name for name in CONFIG.all_models if name not in PRETRAINED)
# Trained once, though judged on several sets: names of datasets whose cells train, and of those that take theirs over
TRAINS = planning.alternatives(name for name, one in CONFIG.all_datasets.items() if one.trained_as is one)
SHARES = planning.alternatives(name for name, one in CONFIG.all_datasets.items() if one.trained_as is not one)
PROBE_GROUP = "probe" if CONFIG.compute.grouped else None  # Snakemake ignores groups where it runs jobs itself
REPORT = [REPORTS / "report.html", REPORTS / "report.md"]


wildcard_constraints:
    dataset=planning.alternatives(CONFIG.all_datasets),
    model=planning.alternatives(CONFIG.all_models),
    transform=planning.alternatives([*CONFIG.all_transforms, "none"]),
    source=planning.alternatives(PLAN.sources),
    pack=planning.alternatives(PLAN.packs),
    reduced=planning.alternatives(PLAN.reduced),
    seed=r"\d+",


def cell_of(wildcards):
    return one_line(PLAN.cell, wildcards.dataset, wildcards.model, wildcards.transform, int(wildcards.seed))


def cell_of_row(wildcards):
    """The cell of a rule whose paths say no transform."""
    return one_line(PLAN.cell, wildcards.dataset, wildcards.model, "none", int(wildcards.seed))


def shared(outputs):
    """The same files of the cell that is trained, for one that differs from it in what it is judged on."""

    def found(wc):
        trained = dict(wc) | {"dataset": CONFIG.all_datasets[wc.dataset].trained_as.name}
        return [str(file).format(**trained) for file in outputs]

    return found


def manifest(dataset):
    return f"{DATA}/packed/{dataset.pack}/manifest.json"


def leaks_of(name):
    """Which test images are among the images that a dataset is pretrained on."""
    return f"{DATA}/leaks/{name}.json"


def finished(cells):
    """What a finished cell leaves for the report. Where nothing is labelled there is no probe."""
    probed = ["run.json", "linear.json", "knn.json", "health.json", "predictions.parquet"]
    files = []
    for cell in cells:
        folder = cell.folder
        names = probed if cell.probed else probed[:1]
        files += [f"{folder}/{name}" for name in names]
        files += [f"{folder}/{downstream.FILES[task]}" for task in downstream.tasks(CONFIG, cell)]
    return files


def collected():
    """What the report is made of. A function, so that a job on a cluster, which asks for one cell, need not list all."""
    curves = [f"{cell.folder}/curve.csv" for cell in PLAN.runnable]
    doctors = [f"{DATA}/packed/{pack}/doctor.json" for pack in PLAN.used_packs]
    # Of what a frozen backbone is named after, only the images that it is judged on.
    used = dict.fromkeys(
        name
        for cell in PLAN.runnable
        if cell.probed
        for name in (cell.evaluated.name if cell.model.weights else cell.dataset.name, cell.evaluated.name)
    )
    speeds = [f"{DATA}/speed/{network}.json" for network in PLAN.timed]
    return finished(PLAN.runnable) + curves + doctors + speeds + list(map(leaks_of, used))


FORCED = {}  # folder of a cell or source -> what of it is not as asked today


def compared(path, faults):
    """Have a result made anew that Snakemake has no record of, where what it says of itself is not what is asked.

    Called as an input of the rule that makes it, of each job that Snakemake looks at; adds no file. ``faults`` gives
    what differs.
    """
    if not workflow.is_main_process or not path.exists() or workflow.persistence.metadata(_IOFile(str(path), None)):
        return []
    if differing := faults():
        FORCED.setdefault(path.parent, ", ".join(differing))
        workflow.dag.forcefiles.add(str(path))
    return []


def compared_cell(path, asked):
    """``asked`` gives what is asked today, and content_sha256 of the packed images; only where there is no record."""

    def faults():
        said = read_object(path)
        if not said:
            return [f"{path.name} cannot be read"]
        expected, packed = asked()
        return finished_cells.changed_keys(expected, said, said, packed)

    return compared(path, faults)


def compared_source(wildcards):
    dataset, folder = PLAN.sources[wildcards.source], DATA / "sources" / wildcards.source
    return compared(folder / "source.json", lambda: ["the images"] * content.changed(dataset.settings, folder))


def compared_run(wildcards, cell=None):
    cell = cell or cell_of(wildcards)

    def asked():
        code = code_digest(*cell.code_roots, planning.PRETRAIN_SCRIPT)
        packed = read_object(Path(manifest(cell.dataset)))
        return {"settings": cell.settings, "code": code}, packed.get("content_sha256")

    return compared_cell(cell.folder / "run.json", asked)


def compared_probe(wildcards):
    def asked():
        return {"evaluation": CONFIG.evaluation.model_dump(mode="json", exclude=set(APART))}, None

    return compared_cell(cell_of(wildcards).folder / "linear.json", asked)


def looked():
    """What the album is made of beside the report's figures: of several seeds, the first stands for its entry."""
    first = {cell.names[:3]: cell for cell in reversed(PLAN.runnable) if cell.probed}
    return [f"{cell.folder}/look.json" for cell in first.values()]


def judged(cell):
    """The files that say how good a finished cell is, by name; without labels there are only the measures that need none."""
    names = ["linear", "knn", "health"] if cell.probed else ["labelfree"]
    compared = {"leaks": leaks_of(cell.dataset.name)} if cell.probed and not cell.model.weights else {}
    return {name: f"{cell.folder}/{name}.json" for name in names} | compared


def layout_of(dataset):
    """What reads a dataset's kind, as a root of a code digest."""
    return f"{dataset.kind}={registry.DATASETS[dataset.kind]}"


def say(line):
    if workflow.is_main_process:
        print(f"sslbench: {line}", file=sys.stderr)


@cache
def source_settings(source):
    """What a source depends on: how it is read, and the name of what the user's own files hold."""
    dataset = PLAN.sources[source]
    return {
        "identity": dataset.settings.identity(),
        "listing": one_line(content.name, dataset.settings, DATA / "sources" / source, say),
    }


def pack_settings(pack):
    dataset = PLAN.packs[pack]
    return {
        "identity": dataset.settings.identity(),
        "pack_size": dataset.pack_size,
        "unreadable_share": dataset.settings.unreadable_share,
    } | encoding(dataset.settings)


def compared_splits(name):
    """Of the images that a dataset is pretrained on, and of the test images that it is judged on."""
    dataset = CONFIG.all_datasets[name]
    return {"pretraining": dataset.split, "test": CONFIG.judge(dataset).split}


def embed_settings(cell):
    """What the features depend on, bar the backbone's weights and the data."""
    return {
        "backbone": cell.settings["backbone"],
        "input_size": cell.settings["input_size"],
        "dataset": cell.evaluated_data,
        "resize_ratio": CONFIG.evaluation.resize_ratio,
    }


def weights_settings(name):
    """What fetched weights depend on: the entry, and of the user's own file its content."""
    entry = CONFIG.weights[name]
    file = entry.path and pretrained.weights_file(entry.path)
    return {"asked": entry.asked, "sha256": file_sha256(file) if file else None}


def frozen_settings(cell):
    return {
        "cell": cell.settings,
        "evaluated": cell.evaluated_data,
        "resize_ratio": CONFIG.evaluation.resize_ratio,
        "linear": CONFIG.evaluation.linear.model_dump(mode="json"),
        "labelfree": downstream.settings(CONFIG, cell, "labelfree"),
    }


def named_by(network):
    """The weights that name a network, where the config does not."""
    return [name for name in [PLAN.timed[network]["weights"]] if name]


def test_images(cell):
    """Of a pretrained row, whose weights may have seen them, the pack that names them."""
    return {"manifest": manifest(cell.evaluated)} if cell.model.weights and cell.probed else {}


def all_cores(wildcards):
    """For a job beside which nothing else shall run on this machine; of a scheduler what any job asks for."""
    return (workflow.resource_settings.cores if workflow.local_exec else None) or CONFIG.compute.threads


def devices_of(wildcards):
    """How many devices pretrain a cell. An untrained row has nothing to share."""
    return CONFIG.compute.devices if cell_of(wildcards).transform else 1


def asked(name, dataset_of=lambda wildcards: wildcards.dataset, devices=lambda wildcards: 1):
    """What a job of the rule ``name`` asks of a scheduler, each as a function of its wildcards where these have a say.

    To call them takes a tenth of a dry run of many cells.
    """

    def found(dataset, count):
        return CONFIG.compute.asked(name, dataset, DEVICE, count, local=workflow.local_exec)

    def one(resource):
        return lambda wildcards: found(dataset_of(wildcards), devices(wildcards))[resource]

    # Of grouped rules it counts who runs them, which is not known yet.
    if CONFIG.compute.devices == 1 and name not in GROUPED and not getattr(CONFIG.compute.jobs, name).datasets:
        return {resource: value for resource, value in found("", 1).items() if value is not None}
    return {resource: one(resource) for resource in RESOURCES}


def dataset_target(name):
    """All finished cells of one dataset. Where its archive is missing, fetch answers with how to get it."""
    return finished(PLAN.of_dataset(name))


def made(word):
    """Whether a rule is called so, or makes a file of that path."""
    path = word if os.path.isabs(word) else os.path.relpath(word)  # as Snakemake looks for it
    return workflow.is_rule(word) or any(rule.is_producer(path) for rule in workflow.rules)

# The validated configuration, the cells of the grid, and what rules ask of them.

import os
import sys
from pathlib import Path

from sslbench import cost, downstream, fingerprint, registry, runlock, sources, warm
from sslbench import plan as planning
from sslbench.canonical import canonical
from sslbench.cells import encoding
from sslbench.compute import RESOURCES
from sslbench.config import load
from sslbench.errors import UserError
from sslbench.evaluate.spec import APART
from sslbench.fingerprint import code_digest
from sslbench.folding import fold
from sslbench.report import studies

if workflow.is_main_process and (line := runlock.hold()):
    print(f"sslbench: {line}", file=sys.stderr)


def one_line(function, *arguments):
    """Call it; a user's mistake ends Snakemake with one line, which an exception of its own would frame in file names."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"sslbench: {error}")


fingerprint.recall_parsed()
CONFIG = one_line(load, config)
PLAN = one_line(planning.Plan, CONFIG)
one_line(PLAN.check_targets, sys.argv[1:])
DEVICE = cost.device(CONFIG)
DATA, RESULTS = CONFIG.paths.data, CONFIG.paths.results
CELL = f"{RESULTS}/{{dataset}}/{{model}}/{{transform}}/seed{{seed}}"
REPORTS = CONFIG.paths.reports / CONFIG.name
COLLECTED = RESULTS / "collected" / CONFIG.name
OVERLAYS = [os.path.relpath(file) for file in workflow.configfiles if Path(file).name != "config.yaml"]
GALLERY_DATASET = next((cell.dataset for cell in PLAN.runnable), next(iter(PLAN.datasets.values())))
LABELS = {name: f"{{{name}}}" for name in ("model", "transform", "seed")}  # of a cell's files in `snakemake --report`
PROBE_GROUP = "probe" if CONFIG.compute.grouped else None  # Snakemake ignores groups where it runs jobs itself
REPORT = [REPORTS / "report.html", REPORTS / "report.md"]


wildcard_constraints:
    dataset=planning.alternatives(CONFIG.all_datasets),
    model=planning.alternatives(CONFIG.all_models),
    transform=planning.alternatives([*CONFIG.all_transforms, "none"]),
    source=planning.alternatives(PLAN.sources),
    pack=planning.alternatives(PLAN.packs),
    seed=r"\d+",


def cell_of(wildcards):
    return one_line(PLAN.cell, wildcards.dataset, wildcards.model, wildcards.transform, int(wildcards.seed))


def manifest(dataset):
    return f"{DATA}/packed/{dataset.pack}/manifest.json"


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
    return finished(PLAN.runnable) + curves + [f"{DATA}/packed/{pack}/doctor.json" for pack in PLAN.used_packs]


def looked():
    """What the album is made of beside the report's figures: of several seeds, the first stands for its entry."""
    first = {cell.names[:3]: cell for cell in reversed(PLAN.runnable) if cell.probed}
    return [f"{cell.folder}/look.json" for cell in first.values()]


def judged(cell):
    """The files that say how good a finished cell is, by name; without labels there are only the measures that need none."""
    names = ["linear", "knn", "health"] if cell.probed else ["labelfree"]
    return {name: f"{cell.folder}/{name}.json" for name in names}


def to_run(name):
    """The jobs ahead of the rule that is called ``name`` here; a parent workflow may call it otherwise, or leave it out."""
    ours = getattr(rules, name).rule if rules.has(name) else None
    return [job for job in workflow.dag.needrun_jobs() if job.rule is ours]


def start():
    """What comes before the first job, by onstart: the checks, and what spares the jobs time."""
    check_start()
    fingerprint.keep_parsed()
    share_imports()


def start_below_a_parent(workflow):
    """Where this workflow is a module of another, have ``start`` run all the same, before the other's own onstart.

    Snakemake runs the main Snakefile's onstart alone, and that may come after the module, or before it. Each module is
    kept once by its name: every `use rule` reads this file again.
    """
    if workflow.modifier.is_main_snakefile():
        return
    if not hasattr(workflow, "sslbench_starts"):
        workflow.sslbench_starts = {}
        starts, register = workflow.sslbench_starts, workflow.onstart

        def after_ours(handler):
            def both(log):
                for ours in starts.values():
                    ours()
                handler(log)

            return both

        workflow._onstart = after_ours(workflow._onstart)
        workflow.onstart = lambda handler: register(
            after_ours(handler) if workflow.modifier.is_main_snakefile() else handler
        )
    workflow.sslbench_starts[__name__] = start


def check_start():
    """Stop before the first job where pictures are missing, or the GPU; a cluster's login node needs none, but a device."""
    cells = [cell_of(job.wildcards) for job in to_run("pretrain")]
    trained = [cell for cell in cells if cell.transform is not None]
    if trained and workflow.is_main_process:
        one_line(PLAN.require_pictures, trained)
        if workflow.local_exec:
            one_line(cost.stop_without_gpu, CONFIG, trained)
        else:
            one_line(cost.stop_cluster_without_gpu, CONFIG, "pretrain", [cell.dataset.name for cell in trained])
        one_line(planning.require_models, trained, CONFIG.compute.devices)  # last: it takes seconds
    tuned = [job.wildcards.dataset for job in to_run("finetune")]
    if tuned and workflow.is_main_process:
        if workflow.local_exec:
            one_line(cost.stop_tuning_without_gpu, CONFIG, len(tuned))
        else:
            one_line(cost.stop_cluster_without_gpu, CONFIG, "finetune", tuned)


def share_imports():
    """Let the jobs that need torch find this process, where they run below it and there are several."""
    names = ("pretrain", "embed", "evaluate", "look", *downstream.FILES)
    heavy = [job for name in names for job in to_run(name)]
    if workflow.is_main_process:
        os.environ.pop(warm.RUN, None)
        if CONFIG.compute.share_imports and workflow.local_exec and len(heavy) > 1:
            os.environ[warm.RUN] = str(os.getpid())


def say_where_the_report_is(workflow):
    if any(job.rule.name == "report" for job in workflow.dag.jobs):
        print(f"sslbench: the report is at {REPORT[0]}", file=sys.stderr)


def failure_lines():
    return planning.failure_lines(CONFIG, OVERLAYS)


def check_before_environments(workflow):
    """Snakemake makes gigabytes of environments before onstart; without a GPU that is for nothing.

    What is asked for is not known yet, so only the plain command is answered here; onstart answers the others, and all
    of a parent workflow's, whose plain command may ask for nothing of this one.
    """
    if not workflow.modifier.is_main_snakefile():
        return
    plain = {"--use-conda", "--sdm", "conda", "--cores", "-c", "-j", "--configfile", "all", *PLAN.datasets}
    asked = [word for word in sys.argv[1:] if word not in plain and not word.isdigit() and not word.endswith(".yaml")]
    if {"--use-conda", "conda"} & set(sys.argv) and not asked and workflow.is_main_process:
        cells = [cell for cell in PLAN.runnable if cell.transform and not (cell.folder / "run.json").exists()]
        if cells:
            one_line(cost.stop_without_gpu, CONFIG, cells)


def layout_of(dataset):
    """What reads a dataset's kind, as a root of a code digest."""
    return f"{dataset.kind}={registry.DATASETS[dataset.kind]}"


def local_source(wildcards):
    """The user's own archive, so that another file under its name is noticed. A folder is listed in the settings."""
    archive = PLAN.sources[wildcards.source].settings.archive
    return [] if archive is None else str(archive)


def source_settings(source):
    dataset = PLAN.sources[source]
    return {
        "identity": dataset.settings.identity(),
        "listing": planning.listing_digest(dataset.settings.path),
    }


def pack_settings(pack):
    dataset = PLAN.packs[pack]
    return {
        "identity": dataset.settings.identity(),
        "pack_size": dataset.pack_size,
        "unreadable_share": dataset.settings.unreadable_share,
    } | encoding(dataset.settings)


def embed_settings(cell):
    """What the features depend on, bar the backbone's weights and the data."""
    return {
        "backbone": cell.settings["backbone"],
        "input_size": cell.settings["input_size"],
        "dataset": cell.evaluated_data,
        "resize_ratio": CONFIG.evaluation.resize_ratio,
    }


def devices_of(wildcards):
    """How many devices pretrain a cell. An untrained row has nothing to share."""
    return CONFIG.compute.devices if cell_of(wildcards).transform else 1


def asked(name, dataset_of=lambda wildcards: wildcards.dataset, devices=lambda wildcards: 1):
    """What a job of the rule ``name`` asks of a scheduler, each as a function of its wildcards."""

    def one(resource):
        def value(wildcards):
            found = CONFIG.compute.asked(
                name, dataset_of(wildcards), DEVICE, devices(wildcards), local=workflow.local_exec
            )
            return found[resource]

        return value

    return {resource: one(resource) for resource in RESOURCES}


def dataset_target(name):
    """All finished cells of one dataset. Where its archive is missing, fetch answers with how to get it."""
    return finished(PLAN.of_dataset(name))

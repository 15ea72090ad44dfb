# Before the first job: what stops a run early, and what spares its jobs time. After the last: what to look at.

import atexit
import os
import sys
from collections import Counter
from contextlib import suppress

from sslbench.grid import cost
from sslbench.grid import commands as command
from sslbench.jobs.import_server import client as warm
from sslbench.store import code_fingerprint as fingerprint


def to_run(name):
    """The jobs ahead of the rule that is called ``name`` here; a parent workflow may call it otherwise, or leave it out."""
    ours = getattr(rules, name).rule if rules.has(name) else None
    return [job for job in workflow.dag.jobs if job.rule is ours and workflow.dag.needrun(job)]


def start():
    """What comes before the first job, by onstart: the checks, and what spares the jobs time."""
    check_start()
    say_ahead()
    share_imports()


def say_ahead():
    """What Snakemake's own reasons leave unsaid, also at the end of a dry run."""
    fingerprint.keep_parsed()
    for keys, count in Counter(FORCED.values()).items():
        what = "source" if keys == "the images" else "cell"
        say(f"{count} {what}{'s' * (count > 1)} that .snakemake has no record of made anew; changed since: {keys}")
    packed = [job.output[0] for name in ("pack", "exclude") for job in to_run(name)]  # anew, so what is not known
    waiting = [cell_of(job.wildcards) for job in to_run("pretrain")]
    cells = [cell for cell in waiting if manifest(cell.dataset) not in packed]
    code = [(cell, code_digest(*cell.code_roots, planning.PRETRAIN_SCRIPT), manifest(cell.dataset)) for cell in cells]
    if kept := finished_cells.in_store(code, RESULTS / ".store"):
        say(f"{kept} of {len(waiting)} cells to pretrain are linked from the store: nothing is trained for them")


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
        one_line(require_models, trained, CONFIG.compute.devices)  # last: it takes seconds
    tuned = [job.wildcards.dataset for job in to_run("finetune")]
    if tuned and workflow.is_main_process:
        if workflow.local_exec:
            one_line(cost.stop_tuning_without_gpu, CONFIG, len(tuned))
        else:
            one_line(cost.stop_cluster_without_gpu, CONFIG, "finetune", tuned)


def say_ahead_of_a_dry_run():
    """Snakemake calls no hook of ours in a dry run; a process that stopped before its jobs were known says nothing."""
    with suppress(Exception):
        if workflow.dryrun and len(workflow.dag):
            say_ahead()


def share_imports():
    """Let the jobs that need torch find this process, where they run below it and there are several."""
    names = ("pretrain", "frozen", "frozen_unlabelled", "speed", "embed", "evaluate", "look", *downstream.FILES)
    heavy = [job for name in names for job in to_run(name)]
    if workflow.is_main_process:
        os.environ.pop(warm.RUN, None)
        if CONFIG.compute.share_imports and workflow.local_exec and len(heavy) > 1:
            os.environ[warm.RUN] = str(os.getpid())


def say_where_the_report_is(workflow):
    if any(job.rule.name == "report" for job in workflow.dag.jobs):
        print(f"sslbench: the report is at {REPORT[0]}", file=sys.stderr)


def failure_lines():
    return command.failure_lines(CONFIG, OVERLAYS)


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
        cells = [cell for cell in PLAN.waiting if cell.transform]
        if cells:
            one_line(cost.stop_without_gpu, CONFIG, cells)


if workflow.is_main_process:
    atexit.register(say_ahead_of_a_dry_run)

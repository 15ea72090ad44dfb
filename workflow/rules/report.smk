# One tidy table, one page.

STUDIED = studies.code(studies.of_run({cell.dataset.kind for cell in PLAN.cells}))


rule gallery:
    """What each transform does, on the first dataset's own pictures."""
    input:
        lambda wc: manifest(GALLERY_DATASET),
    output:
        COLLECTED / "gallery.json",
    log:
        f"logs/report/{CONFIG.name}/gallery.log",
    benchmark:
        f"logs/benchmarks/report/{CONFIG.name}/gallery.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        **asked("gallery", lambda wc: GALLERY_DATASET.name),
    params:
        settings=lambda wc: canonical({"transforms": PLAN.gallery(), "size": CONFIG.training.input_size}),
        code=lambda wc: code_digest("sslbench.transforms.preview", *PLAN.operations(), "workflow/scripts/gallery.py"),
    script:
        "../scripts/gallery.py"


rule collect:
    """Every cell's figures in one table, with what is stale, missing or set aside."""
    input:
        lambda wc: collected(),
    output:
        table=report(
            COLLECTED / "cells.csv",
            caption="../report/cells.rst",
            category="Report",
            labels={"what": "every cell's figures"},
        ),
        report=COLLECTED / "report.json",
    log:
        f"logs/report/{CONFIG.name}/collect.log",
    benchmark:
        f"logs/benchmarks/report/{CONFIG.name}/collect.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=lambda wc: canonical(fold(report_plan(PLAN, OVERLAYS))),
        code=lambda wc: code_digest("sslbench.report.collect.collect", *STUDIED, "workflow/scripts/collect.py"),
    script:
        "../scripts/collect.py"


rule album:
    """What the models see: thumbnails, nearest neighbours, maps and confusions of every entry."""
    input:
        report=rules.collect.output.report,
        looks=lambda wc: looked(),
    output:
        COLLECTED / "album.json",
    log:
        f"logs/report/{CONFIG.name}/album.log",
    benchmark:
        f"logs/benchmarks/report/{CONFIG.name}/album.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=canonical({}),
        code=lambda wc: code_digest("sslbench.report.images.collect", "workflow/scripts/album.py"),
    script:
        "../scripts/album.py"


rule report:
    """The page in HTML, and the same in Markdown with its charts and pictures."""
    input:
        report=rules.collect.output.report,
        gallery=rules.gallery.output,
        album=rules.album.output,
    output:
        html=report(REPORT[0], caption="../report/page.rst", category="Report", labels={"what": "the page"}),
        markdown=REPORT[1],
        charts=directory(REPORTS / "report-charts"),
    log:
        f"logs/report/{CONFIG.name}/report.log",
    benchmark:
        f"logs/benchmarks/report/{CONFIG.name}/report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=canonical({}),
        code=lambda wc: code_digest("sslbench.report.page", *template_files(), *STUDIED, "workflow/scripts/report.py"),
    script:
        "../scripts/report.py"


rule report_now:
    """Render whatever exists, with missing, failed and stale cells shown as such. Needs no cell and always runs."""
    output:
        touch=temp(COLLECTED / "now.done"),
    log:
        f"logs/report/{CONFIG.name}/now.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=lambda wc: canonical(fold(report_plan(PLAN, OVERLAYS))),
        code="now",
    script:
        "../scripts/report_now.py"

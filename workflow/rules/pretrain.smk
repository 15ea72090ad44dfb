# One backbone per cell.


rule pretrain:
    """Train one cell of the grid; resumes from its own checkpoint after a crash."""
    input:
        lambda wc: manifest(cell_of(wc).dataset),
        compared=compared_run,
    output:
        backbone=f"{CELL}/backbone.safetensors",
        run=f"{CELL}/run.json",
        curve=report(
            f"{CELL}/curve.csv",
            caption="../report/curve.rst",
            category="Learning curves",
            subcategory="{dataset}",
            labels=LABELS,
        ),
        ledger=f"{CELL}/ledger.json",
    log:
        "logs/pretrain/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/pretrain/{dataset}/{model}/{transform}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=TRAINS,
        model=TRAINED,
    conda:
        "../../envs/train.yaml"
    threads: lambda wc: CONFIG.compute.threads * devices_of(wc)
    resources:
        **asked("pretrain", devices=devices_of),
    params:
        settings=lambda wc: cell_of(wc).text,
        code=lambda wc: code_digest(*cell_of(wc).code_roots, planning.PRETRAIN_SCRIPT),
    script:
        "../scripts/pretrain.py"


rule share:
    """Take over what another cell has trained, on the same images: evaluate_on names several datasets."""
    input:
        shared(rules.pretrain.output),
    output:
        backbone=f"{CELL}/backbone.safetensors",
        run=f"{CELL}/run.json",
        curve=f"{CELL}/curve.csv",
        ledger=f"{CELL}/ledger.json",
    log:
        "logs/share/{dataset}/{model}/{transform}/seed{seed}.log",
    wildcard_constraints:
        dataset=SHARES,
        model=TRAINED,
    conda:
        "../../envs/train.yaml"
    params:
        folder=lambda wc: str(cell_of(wc).folder),
    shell:
        "cp {input:q} {params.folder:q} 2> {log:q}"  # no hard links: outputs are touched, and inputs would be with them

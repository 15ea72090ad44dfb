# Frozen features once per cell; the probes read nothing else.


rule embed:
    """Features of the training and test pictures from the frozen backbone."""
    input:
        manifest=lambda wc: manifest(cell_of(wc).evaluated),
        backbone=rules.pretrain.output.backbone,
    output:
        train=f"{CELL}/features-train.safetensors",
        test=f"{CELL}/features-test.safetensors",
    log:
        "logs/embed/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/embed/{dataset}/{model}/{transform}/seed{seed}.tsv"
    wildcard_constraints:
        model=TRAINED,
    group:
        PROBE_GROUP
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("embed"),
    params:
        settings=lambda wc: canonical(embed_settings(cell_of(wc))),
        code=lambda wc: code_digest(*sources.roots("embed", {})),
    script:
        "../scripts/embed.py"


rule evaluate:
    """Linear probe, nearest neighbours and health of one cell, in one job."""
    input:
        train=rules.embed.output.train,
        test=rules.embed.output.test,
        run=rules.pretrain.output.run,
        curve=rules.pretrain.output.curve,
        compared=compared_probe,
    output:
        linear=report(
            f"{CELL}/linear.json",
            caption="../report/linear.rst",
            category="Linear probes",
            subcategory="{dataset}",
            labels=LABELS,
        ),
        knn=f"{CELL}/knn.json",
        health=f"{CELL}/health.json",
        predictions=f"{CELL}/predictions.parquet",
    log:
        "logs/evaluate/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/evaluate/{dataset}/{model}/{transform}/seed{seed}.tsv"
    group:
        PROBE_GROUP
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("evaluate"),
    params:
        settings=lambda wc: canonical(CONFIG.evaluation.model_dump(mode="json", exclude={"resize_ratio", *APART})),
        code=lambda wc: code_digest(*sources.roots("evaluate", {})),
    script:
        "../scripts/evaluate.py"


rule speed:
    """How long an image takes in one network, where networks are compared. No row depends on it."""
    input:
        lambda wc: [f"{pretrained.folder(name, DATA)}/{pretrained.FACTS}" for name in named_by(wc.network)],
    output:
        f"{DATA}/speed/{{network}}.json",
    log:
        "logs/speed/{network}.log",
    benchmark:
        "logs/benchmarks/speed/{network}.tsv"
    wildcard_constraints:
        network=planning.alternatives(PLAN.timed),
    conda:
        "../../envs/train.yaml"
    # It computes on compute.threads of them; all are asked for so that nothing else runs beside what is timed.
    threads: all_cores
    resources:
        **asked("embed", lambda wc: ""),
    params:
        settings=lambda wc: canonical(PLAN.timed[wc.network]),
        code=lambda wc: code_digest("sslbench.evaluation.speed", "workflow/scripts/speed.py"),
    script:
        "../scripts/speed.py"

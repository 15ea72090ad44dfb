# What the report shows of a cell in pictures.


rule look:
    """Nearest neighbours of a few test pictures, and a map of some more, from the features alone."""
    input:
        train=rules.embed.output.train,
        test=rules.embed.output.test,
    output:
        f"{CELL}/look.json",
    log:
        "logs/look/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/look/{dataset}/{model}/{transform}/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("look"),
    params:
        settings=canonical({}),
        code=lambda wc: code_digest("sslbench.evaluation.neighbours_and_map", "workflow/scripts/look.py"),
    script:
        "../scripts/look.py"

# Pretrained backbones: weights once each, a row of them in every dataset. `snakemake weights` fetches all, so that a node
# without a network can be prepared.

FROZEN = planning.alternatives(PRETRAINED)
ROW = f"{RESULTS}/{{dataset}}/{{model}}/none/seed{{seed}}"


rule weights:
    """All pretrained weights that the rows need."""
    input:
        [pretrained.folder(name, DATA) / pretrained.FACTS for name in CONFIG.references.pretrained],


rule fetch_weights:
    """Download one backbone's weights, or read the user's, and believe them only after their hash."""
    output:
        facts=f"{DATA}/weights/{{weights}}/{pretrained.FACTS}",
        backbone=f"{DATA}/weights/{{weights}}/backbone.safetensors",
    log:
        "logs/weights/{weights}.log",
    benchmark:
        "logs/benchmarks/weights/{weights}.tsv"
    wildcard_constraints:
        weights=planning.alternatives(CONFIG.weights),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        settings=lambda wc: canonical(weights_settings(wc.weights)),
        code=lambda wc: code_digest(*sources.roots("weights", {})),
    script:
        "../scripts/weights.py"


rule frozen:
    """Features of one pretrained backbone, and all that is a cell's before its probe."""
    input:
        weights=lambda wc: rules.fetch_weights.output.facts.format(weights=cell_of_row(wc).model.weights),
        manifest=lambda wc: manifest(cell_of_row(wc).evaluated),
        own=lambda wc: manifest(cell_of_row(wc).dataset),
        compared=lambda wc: compared_run(wc, cell_of_row(wc)),
    output:
        backbone=f"{ROW}/backbone.safetensors",
        run=f"{ROW}/run.json",
        curve=f"{ROW}/curve.csv",
        ledger=f"{ROW}/ledger.json",
        labelfree=f"{ROW}/{downstream.FILES['labelfree']}",
        train=f"{ROW}/features-train.safetensors",
        test=f"{ROW}/features-test.safetensors",
    log:
        "logs/frozen/{dataset}/{model}/none/seed{seed}.log",
    benchmark:
        "logs/benchmarks/frozen/{dataset}/{model}/none/seed{seed}.tsv"
    wildcard_constraints:
        model=FROZEN,
        dataset=planning.alternatives(name for name, one in CONFIG.all_datasets.items() if one.settings.probed),
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("embed"),
    params:
        settings=lambda wc: canonical(frozen_settings(cell_of_row(wc))),
        code=lambda wc: code_digest(*sources.roots("frozen", frozen_settings(cell_of_row(wc)))),
    script:
        "../scripts/frozen.py"


use rule frozen as frozen_unlabelled with:
    output:
        backbone=f"{ROW}/backbone.safetensors",
        run=f"{ROW}/run.json",
        curve=f"{ROW}/curve.csv",
        ledger=f"{ROW}/ledger.json",
        labelfree=f"{ROW}/{downstream.FILES['labelfree']}",
    wildcard_constraints:
        model=FROZEN,
        dataset=planning.alternatives(name for name, one in CONFIG.all_datasets.items() if not one.settings.probed),

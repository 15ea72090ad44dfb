# Archives to packed pictures, once per source and pack size.


rule fetch:
    """Download, draw or find one source, and believe it only after its hash."""
    input:
        compared=compared_source,
    output:
        f"{DATA}/sources/{{source}}/source.json",
    log:
        "logs/fetch/{source}.log",
    benchmark:
        "logs/benchmarks/fetch/{source}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        settings=lambda wc: canonical(source_settings(wc.source)),
        code=lambda wc: code_digest(
            "sslbench.data.sources.fetch", layout_of(PLAN.sources[wc.source]), "workflow/scripts/fetch.py"
        ),
    script:
        "../scripts/fetch.py"


rule pack:
    """Decode every picture once, into one memory-mapped buffer with its splits."""
    input:
        lambda wc: f"{DATA}/sources/{PLAN.packs[wc.pack].source}/source.json",
    output:
        manifest=f"{DATA}/packed/{{pack}}/manifest.json",
        doctor=f"{DATA}/packed/{{pack}}/doctor.json",
    log:
        "logs/pack/{pack}.log",
    benchmark:
        "logs/benchmarks/pack/{pack}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: CONFIG.compute.packing_jobs()
    resources:
        **asked("pack", lambda wc: PLAN.packs[wc.pack].name),
    params:
        settings=lambda wc: canonical(pack_settings(wc.pack)),
        code=lambda wc: code_digest(
            "sslbench.data.pack.write", layout_of(PLAN.packs[wc.pack]), "workflow/scripts/pack.py"
        ),
    script:
        "../scripts/pack.py"


rule leaks:
    """Which test images, of what a dataset is judged on, are among the images that it is pretrained on."""
    input:
        trained=lambda wc: f"{DATA}/packed/{CONFIG.all_datasets[wc.dataset].whole}/manifest.json",
        tested=lambda wc: manifest(CONFIG.judge(CONFIG.all_datasets[wc.dataset])),
    output:
        found=f"{DATA}/leaks/{{dataset}}.json",
        copies=f"{DATA}/leaks/{{dataset}}.npy",
    log:
        "logs/leaks/{dataset}.log",
    benchmark:
        "logs/benchmarks/leaks/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: CONFIG.compute.packing_jobs()
    resources:
        **asked("leaks"),
    params:
        settings=lambda wc: canonical(compared_splits(wc.dataset)),
        code=lambda wc: code_digest("sslbench.data.leaks", "workflow/scripts/leaks.py"),
    script:
        "../scripts/leaks.py"


rule exclude:
    """A pack whose split trains on all images but those that are test images too: exclude_test."""
    input:
        manifest=lambda wc: f"{DATA}/packed/{PLAN.reduced[wc.reduced].whole}/manifest.json",
        copies=lambda wc: [
            f"{DATA}/leaks/{name}.npy" for name, one in CONFIG.all_datasets.items() if one.pack == wc.reduced
        ],
    output:
        manifest=f"{DATA}/packed/{{reduced}}/manifest.json",
        doctor=f"{DATA}/packed/{{reduced}}/doctor.json",
    log:
        "logs/exclude/{reduced}.log",
    benchmark:
        "logs/benchmarks/exclude/{reduced}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=lambda wc: canonical({"split": PLAN.reduced[wc.reduced].split}),
        code=lambda wc: code_digest("sslbench.data.pack.exclude", "workflow/scripts/exclude.py"),
    script:
        "../scripts/exclude.py"

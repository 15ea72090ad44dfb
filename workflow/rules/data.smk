# Archives to packed pictures, once per source and pack size.


rule fetch:
    """Download, draw or find one source, and believe it only after its hash."""
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

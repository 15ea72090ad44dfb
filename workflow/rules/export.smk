# A finished cell as a folder to hand on. Asked for by its path alone:
# snakemake --cores all exports/<dataset>/<model>/<transform>/seed<seed>/README.md

from sslbench.export.metadata import about

EXPORT = "exports/{dataset}/{model}/{transform}/seed{seed}{collapsed}"


rule export:
    """Weights for timm, ONNX, and a model card. A collapsed cell goes to seed<seed>-collapsed, and only there."""
    input:
        unpack(lambda wc: judged(cell_of(wc)) | test_images(cell_of(wc))),
        backbone=rules.pretrain.output.backbone,
        run=rules.pretrain.output.run,
        ledger=rules.pretrain.output.ledger,
    output:
        weights=f"{EXPORT}/model.safetensors",
        config=f"{EXPORT}/config.json",
        onnx=f"{EXPORT}/model.onnx",
        card=f"{EXPORT}/README.md",
    log:
        "logs/export/{dataset}/{model}/{transform}/seed{seed}{collapsed}.log",
    benchmark:
        "logs/benchmarks/export/{dataset}/{model}/{transform}/seed{seed}{collapsed}.tsv"
    wildcard_constraints:
        collapsed="|-collapsed",
    conda:
        "../../envs/export.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("export"),
    params:
        settings=lambda wc: canonical(one_line(about, cell_of(wc), EXPORT.format(**wc), OVERLAYS, CONFIG.weights)),
        code=lambda wc: code_digest("sslbench.export.export", "workflow/scripts/export.py"),
    script:
        "../scripts/export.py"

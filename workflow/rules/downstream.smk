# What is measured beside the probe, each on its own inputs. labelfree for every cell, the rest where a block asks.


rule labelfree:
    """What a user without labels could choose by: RankMe, alpha-ReQ and LiDAR of the pictures trained on."""
    input:
        manifest=lambda wc: manifest(cell_of(wc).dataset),
        backbone=rules.pretrain.output.backbone,
        run=rules.pretrain.output.run,
    output:
        f"{CELL}/{downstream.FILES['labelfree']}",
    log:
        "logs/labelfree/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/labelfree/{dataset}/{model}/{transform}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=TRAINS,
        model=TRAINED,
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("labelfree"),
    params:
        settings=lambda wc: downstream.text(CONFIG, cell_of(wc), "labelfree"),
        code=lambda wc: downstream.code(CONFIG, cell_of(wc), "labelfree"),
    script:
        "../scripts/labelfree.py"


use rule share as share_labelfree with:
    input:
        shared(rules.labelfree.output),
    output:
        f"{CELL}/{downstream.FILES['labelfree']}",
    log:
        "logs/share_labelfree/{dataset}/{model}/{transform}/seed{seed}.log",


rule retrieve:
    """Test pictures look for their kin among the training pictures."""
    input:
        train=rules.embed.output.train,
        test=rules.embed.output.test,
        run=rules.pretrain.output.run,
    output:
        f"{CELL}/{downstream.FILES['retrieve']}",
    log:
        "logs/retrieve/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/retrieve/{dataset}/{model}/{transform}/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("retrieve"),
    params:
        settings=lambda wc: downstream.text(CONFIG, cell_of(wc), "retrieve"),
        code=lambda wc: downstream.code(CONFIG, cell_of(wc), "retrieve"),
    script:
        "../scripts/retrieve.py"


rule adapt:
    """Small heads on the frozen features, with all labels and with few."""
    input:
        train=rules.embed.output.train,
        test=rules.embed.output.test,
        run=rules.pretrain.output.run,
    output:
        f"{CELL}/{downstream.FILES['adapt']}",
    log:
        "logs/adapt/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/adapt/{dataset}/{model}/{transform}/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("adapt"),
    params:
        settings=lambda wc: downstream.text(CONFIG, cell_of(wc), "adapt"),
        code=lambda wc: downstream.code(CONFIG, cell_of(wc), "adapt"),
    script:
        "../scripts/adapt.py"


rule finetune:
    """The whole backbone trained on with a share of the labels; goes on from its own checkpoints after a crash."""
    input:
        manifest=lambda wc: manifest(cell_of(wc).evaluated),
        backbone=rules.pretrain.output.backbone,
        run=rules.pretrain.output.run,
    output:
        f"{CELL}/{downstream.FILES['finetune']}",
    log:
        "logs/finetune/{dataset}/{model}/{transform}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/finetune/{dataset}/{model}/{transform}/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: CONFIG.compute.threads
    resources:
        **asked("finetune"),
    params:
        settings=lambda wc: downstream.text(CONFIG, cell_of(wc), "finetune"),
        code=lambda wc: downstream.code(CONFIG, cell_of(wc), "finetune"),
        training=lambda wc: downstream.training_code(CONFIG, cell_of(wc)),
    script:
        "../scripts/finetune.py"

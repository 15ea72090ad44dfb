"""evaluate_on: a list; what a run would do, as Snakemake plans it."""

import re

from tests.workflow.tiny_grid import TINY


def test_three_judges_are_one_training_and_one_request_of_a_gpu(project) -> None:
    drawn = TINY["datasets"]["drawn"]
    judges = {name: drawn | {"test_per_class": 8 + i} for i, name in enumerate(("birds", "cars", "boats"))}
    dump = drawn | {"train_per_class": 20, "evaluate_on": list(judges), "exclude_test": True}
    done = project.run(
        TINY
        | {
            "grid": [{"datasets": ["dump"], "models": ["simclr"], "transforms": ["simclr"]}],
            "references": {"random": False, "supervised": []},
            "datasets": judges | {"dump": dump},
        },
        "-n",
    )
    assert done.returncode == 0, done.stderr
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
    once = {"pretrain": 1, "labelfree": 1, "exclude": 1, "pack": 4}
    each = {"share": 2, "share_labelfree": 2, "embed": 3, "evaluate": 3, "look": 3}
    assert {name: jobs[name] for name in once | each} == once | each
    assert jobs["leaks"] == 6  # the dump against each, and each within itself

"""A page says where test images are among the pretraining images, shows them, and says nothing of what is not known."""

import base64
import io
import json

import pytest
from PIL import Image

from sslbench.report import blocks as content
from sslbench.report.page import build
from sslbench.report.render import markdown
from sslbench.report.sections import leaks
from sslbench.report.wording import Labels
from sslbench.store.checksum import sealed
from tests.report.conftest import right_for


def found(names: tuple[str, str], count: int) -> dict:
    stream = io.BytesIO()
    Image.new("RGB", (196, 96)).save(stream, "WEBP")
    data = base64.b64encode(stream.getvalue()).decode()
    shown = {"title": "t|1.jpg", "does": "left; right", "alt": "", "width": 196, "height": 96, "webp_base64": data}
    keys = dict.fromkeys(names, "t|1.jpg") | {"identical": False, "alike": 0.9}
    return {"pairs": [keys] * count, "shown": [shown] * min(count, 6)}


@pytest.fixture
def leaked(tree, labels):
    """An unlabelled dump that is judged on nette, 40 of whose 1,000 test images are in the dump."""
    tree.dataset("dump", "folder", 5000, 0)
    file = tree.root / "data" / "leaks" / "dump.json"
    file.parent.mkdir(parents=True)
    tree.plan["datasets"]["dump"]["leaks"] = {"file": str(file), "judge": "nette", "left_out": False}
    cell = tree.cell("dump", "simclr", "baseline")
    cell["evaluated_on"] = "nette"
    tree.finish(cell, right_for(1000, 700), labels)
    counts = {"pretraining": 5000, "test": 1000, "found": 40, "identical": 30, "copies": 45}
    value = {"format": 1, "of": ["ab" * 32] * 2} | counts | found(("test", "train"), 40)
    tree.leaks = file, value | {"two_labels": found(("one", "other"), 1)}
    file.write_text(json.dumps(sealed(tree.leaks[1])))
    return tree


TOLD = "40 of 1,000 test images (4 %) are also among the 5,000 pretraining images (30 byte for byte, 10 near-identical)"


def test_the_verdict_and_the_data_section_say_which_test_images_were_pretrained_on(leaked):
    report = leaked.report()
    page = build(report, {})
    verdict = next(block for block in page.answer if isinstance(block, content.Verdict))
    assert TOLD in str(verdict.details[0]) and "exclude_test: true" in str(verdict.details[0])
    text = markdown.write(page)
    assert text.count(TOLD) == 2  # in the verdict, and with the data
    assert "6 of 40" in text and "t\\|1.jpg" in text and "1 pair of images looks the same" in text
    assert text.count("charts/leaks--dump--") == 6
    assert len(report["datasets"]["dump"]["leaks"]["pairs"]) == 6  # of a file that may hold a million
    assert report["datasets"]["nette"]["leaks"] == {}


def test_no_verdict_warns_of_images_that_were_left_out_or_of_other_packs(leaked):
    file, value = leaked.leaks
    leaked.plan["datasets"]["dump"]["leaks"]["left_out"] = True
    report = leaked.report()
    assert leaks.caveats(report, "dump", Labels(report)) == []
    said = leaks.blocks(report["datasets"]["dump"])[0].items
    assert "exclude_test has left their 45 copies out of pretraining." in said
    for damaged in (sealed(value | {"of": ["cd" * 32] * 2}), value | {"found": 41}):
        file.write_text(json.dumps(damaged))
        assert leaked.report()["datasets"]["dump"]["leaks"] == {}

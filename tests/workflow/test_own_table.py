"""A table of one's own through Snakemake: fetched and packed, and a changed table is noticed."""

from sslbench.data.pack.read import PackedSet
from tests.data.data_samples import make_table
from tests.workflow.staleness.small_grid import Finished
from tests.workflow.tiny_grid import TINY


def test_two_labels_swapped_in_a_table_pack_it_anew(tmp_path):
    table = make_table(tmp_path)
    datasets = {"scans": {"kind": "table", "table": str(table), "pack_size": 32}}
    grid = [{"datasets": ["scans"], "models": ["simclr"], "transforms": ["simclr"]}]
    overlay = TINY | {"datasets": datasets, "grid": grid, "training": TINY["training"] | {"batch_size": 8}}
    project = Finished(tmp_path / "project", overlay)
    done = project.snakemake("--until", "pack")
    assert done.returncode == 0, done.stdout + done.stderr
    (pack,) = (project.folder / "data" / "packed").iterdir()
    assert PackedSet.open(pack, verify=True).classes == ["01", "1"]
    assert "column 'Patient' read as group" in next(project.folder.glob("logs/pack/*.log")).read_text()
    text = table.read_text()
    swapped = (
        text.replace("00.png;01;", "00.png;x;").replace("19.png;1;", "19.png;01;").replace("00.png;x;", "00.png;1;")
    )
    assert len(swapped) == len(text)
    table.write_text(swapped)
    assert project.would_run("--until", "pack") == {"fetch": 1, "pack": 1}

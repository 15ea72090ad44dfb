"""The rendered examples in reports/examples: their pages from committed inputs, without training or Snakemake.

``python -m sslbench.report.example pack NAME`` keeps what a finished run's page was rendered from, and
``make examples`` renders every example that has its inputs.
"""

import argparse
import dataclasses
import io
import lzma
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from sslbench.errors import UserError
from sslbench.report import page
from sslbench.report.files import read_written
from sslbench.runtime.files import write_whole

EXAMPLES = Path(__file__).parents[2] / "reports" / "examples"
INPUTS, REPORT, IMAGES = "inputs.tar.xz", "report.json", ("gallery.json", "album.json")
LARGEST = 3_000_000  # bytes of inputs.tar.xz, which every clone downloads
WITHOUT = "This example leaves out its images: what the transforms do, and what the models see."


def pack(collected: Path, folder: Path, images: bool = False) -> None:
    """Write ``folder``/inputs.tar.xz of a run's collected report.json; equal reports give equal bytes.

    ``images`` copies the run's gallery.json and album.json beside it; without, any there are removed. Raises UserError
    where a file is missing or not what its rule writes, or where the archive is larger than LARGEST.
    """
    read_written(collected / REPORT, "collect")
    content = (collected / REPORT).read_bytes()
    member = tarfile.TarInfo(REPORT)  # no date and no owner
    member.size = len(content)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(content))
    packed = lzma.compress(plain.getvalue(), preset=9)
    if len(packed) > LARGEST:
        raise UserError(
            f"{collected / REPORT}: {len(packed):,} bytes packed, and an example may have {LARGEST:,}; "
            "choose a run of fewer cells"
        )
    for name in IMAGES if images else ():
        read_written(collected / name, name.removesuffix(".json"))
    write_whole(folder / INPUTS, packed)
    for name in IMAGES:
        if images:
            shutil.copyfile(collected / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def render(folder: Path) -> None:
    """Write ``folder``'s report.md and its charts from the inputs there; report.html too, where there is one already.

    Raises UserError where the inputs cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / REPORT
        report.write_bytes(_unpacked(folder / INPUTS))
        inputs = read_written(report, "collect")
    there = [folder / name for name in IMAGES]
    gallery, album = (read_written(file, file.stem) if file.exists() else {} for file in there)
    made = page.build(inputs, gallery, album)
    if not (gallery or album):
        made = dataclasses.replace(made, note=f"{made.note} {WITHOUT}".lstrip())
    html = folder / "report.html"
    page.write(made, html if html.exists() else None, folder / "report.md")


def _unpacked(file: Path) -> bytes:
    try:
        with tarfile.open(file, "r:xz") as archive:
            return archive.extractfile(REPORT).read()
    except (OSError, EOFError, KeyError, AttributeError, tarfile.TarError, lzma.LZMAError) as error:
        raise UserError(f"{file}: cannot be read ({error}); pack the run again") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sslbench.report.example", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="keep what a finished run's page is rendered from")
    packing.add_argument("name", help="the config's name, which becomes the example's")
    packing.add_argument("--results", type=Path, default=Path("results"), help="paths.results of the config")
    packing.add_argument("--images", action="store_true", help="its images too, which must be yours to publish")
    commands.add_parser("render", help="render every example that has its inputs")
    options = parser.parse_args()
    try:
        if options.command == "pack":
            pack(options.results / "collected" / options.name, EXAMPLES / options.name, options.images)
        else:
            for file in sorted(EXAMPLES.glob(f"*/{INPUTS}")):
                render(file.parent)
    except UserError as error:
        sys.exit(f"sslbench: {error}")


if __name__ == "__main__":
    main()

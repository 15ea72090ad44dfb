"""Findings on minutes, memory and counts of the first article, and on the second article's one wrong pair."""

import math
from itertools import product
from statistics import fmean

from sslbench.report.blocks import Cell, Column, Row, Table
from sslbench.studies.ledgers import Figure, Milestone

Found = tuple[str, str, tuple[str, ...], Table | None]
GLOBAL, LOCAL = 224, 96  # px: VICRegL's views in lightly 1.2.42 to 1.3.3 (VICRegLCollateFunction)
_COLUMNS = ("Baseline", "SimCLR", "Orthogonality", "LoRot-I", "DCL")
_FIVE = ("SimCLR", "SimSiam", "SwaV", "BYOL", "VICReg")


def pixels(figures: list[Figure]) -> Found:
    """What one smaller view does to VICRegL's memory and time."""
    two, mixed = 2 * GLOBAL**2, GLOBAL**2 + LOCAL**2
    rows, shares = [], {}
    for column in _COLUMNS:
        cells = _column(figures, column)
        memory, minutes = (_mean(cells, "VICRegL", key) / _mean(cells, _FIVE, key) for key in ("peak_gb", "minutes"))
        shares[column] = memory, minutes
        rows.append((column, f"{memory:.2f}", f"{minutes:.2f}"))
    memory = fmean(m for m, _ in shares.values())
    time = {column: f"{minutes:.2f}" for column, (_, minutes) in shares.items()}
    says = (
        f"VICRegL's peak memory is {memory:.2f} of the five other methods' (Barlow Twins' is like theirs). Unless "
        f"VICRegL "
        "alone ran in lower precision, two views of 224 px do not fit into so little; one of 224 and one of 96 px, as "
        f"lightly had them up to 1.3.3, have {mixed / two:.2f} of the pixels. So VICRegL most likely saw fewer pixels "
        f"per step "
        f"than what it was compared with. Its memory follows the pixels in every column; its time does not: "
        f"{time['Baseline']} of "
        f"theirs with Baseline, {time['LoRot-I']} and {time['DCL']} with LoRot-I and DCL, {time['SimCLR']} and "
        f"{time['Orthogonality']} with the two others."
    )
    sums = (
        f"2 x {GLOBAL}^2 = {two:,}",
        f"{GLOBAL}^2 + {LOCAL}^2 = {mixed:,}",
        f"{mixed:,} / {two:,} = {mixed / two:.3f}",
    )
    table = _table("VICRegL to the five others, mean to mean", ("Transform", "Peak memory", "Minutes"), rows)
    return "VICRegL was given fewer pixels", says, sums, table


def less_time(figures: list[Figure]) -> Found:
    """Whether VICRegL's times are below the others', column by column."""
    rows = []
    for column in _COLUMNS:
        cells = _column(figures, column)
        mine = _mean(cells, "VICRegL", "minutes")
        barlow, five = _mean(cells, ("BarlowTwins",), "minutes"), _mean(cells, _FIVE, "minutes")
        rows.append(
            (column, f"{mine:.1f}", f"{barlow:.1f}", f"{mine / barlow:.2f}", f"{five:.1f}", f"{mine / five:.2f}")
        )
    ratio = {row[0]: float(row[3]) for row in rows}
    gaps = {
        t: _mean(_column(figures, t), "VICRegL", "value") - _mean(_column(figures, t), ("BarlowTwins",), "value")
        for t in ("SimCLR", "Orthogonality")
    }
    says = (
        f"Next to Barlow Twins, VICRegL takes {ratio['Baseline']:.2f}, {ratio['LoRot-I']:.2f} and {ratio['DCL']:.2f} "
        f"of the time "
        f"with Baseline, LoRot-I and DCL, but {ratio['SimCLR']:.2f} and {ratio['Orthogonality']:.2f} with SimCLR's and "
        f"orthogonality, where it also scores {-100 * gaps['SimCLR']:.1f} and {-100 * gaps['Orthogonality']:.1f} "
        f"points lower: the "
        "exception in the article's sentence. With LoRot-I and DCL it is Barlow Twins that is slow: the five others "
        "are "
        "near VICRegL."
    )
    heads = ("Transform", "VICRegL, min", "Barlow Twins, min", "Ratio", "Five others, min", "Ratio ")
    return "VICRegL's time depends on the column", says, (), _table("Mean minutes on ImageNette", heads, rows)


def same_time(figures: list[Figure]) -> Found:
    """Times within a column that do not depend on the method."""
    rows, told = [], {}
    for column in _COLUMNS:
        values = sorted(
            f.minutes for f in _column(figures, column) if f.model != "BarlowTwins" and f.method != "vicregl"
        )
        mine = _mean(_column(figures, column), "VICRegL", "minutes")
        told[column] = fmean(values), mine
        rows.append((column, f"{fmean(values):.1f}", f"{values[0]:.1f} to {values[-1]:.1f}", f"{mine:.1f}"))
    five, mine = (told["Baseline"][i] / fmean((told["LoRot-I"][i], told["DCL"][i])) for i in (0, 1))
    more, much = (told["SimCLR"][i] / told["Baseline"][i] for i in (0, 1))
    says = (
        f"With Baseline the five methods take {rows[0][2]} min, whether they train one network or two: that is the "
        f"time of "
        f"preparing views, not of learning from them. Baseline takes them {five:.1f} times as long as LoRot-I and DCL, "
        f"and "
        f"VICRegL {mine:.1f} times; SimCLR's transform takes them {more:.1f} times as long as Baseline, and VICRegL "
        f"{much:.1f} "
        "times. So VICRegL's Baseline was hardly the others' Baseline, and its time there says little of the method."
    )
    sums = (
        f"five others: {told['Baseline'][0]:.1f} / {fmean((told['LoRot-I'][0], told['DCL'][0])):.1f} = {five:.2f}",
        f"SimCLR's to Baseline: {told['SimCLR'][0]:.1f} / {told['Baseline'][0]:.1f} = {more:.2f} and "
        f"{told['SimCLR'][1]:.1f} / "
        f"{told['Baseline'][1]:.1f} = {much:.2f}",
        f"VICRegL: {told['Baseline'][1]:.1f} / {fmean((told['LoRot-I'][1], told['DCL'][1])):.1f} = {mine:.2f}",
    )
    heads = ("Transform", "Mean of five, min", "From, to", "VICRegL, min")
    return "Minutes do not follow the method", says, sums, _table("Minutes by transform", heads, rows)


def memory_by_transform(figures: list[Figure]) -> Found:
    """The article's sentence on memory with LoRot-I and DCL, held against its table."""
    cells = {(f.model, f.transform_as_printed): f.peak_gb for f in figures if f.peak_gb is not None}
    models = list(dict.fromkeys(m for m, _ in cells))
    lower = [m for m in models if max(cells[m, "LoRot-I"], cells[m, "DCL"]) < cells[m, "Baseline"]]
    rest = ("Baseline", "SimCLR", "Orthogonality")
    mean = {m: (fmean(cells[m, t] for t in ("LoRot-I", "DCL")), fmean(cells[m, t] for t in rest)) for m in models}
    below = [m for m in models if mean[m][0] < mean[m][1] - 1e-9]
    spread = {m: (min(cells[m, t] for t in _COLUMNS), max(cells[m, t] for t in _COLUMNS)) for m in models}
    widest = max(models, key=lambda m: spread[m][1] / spread[m][0])
    says = (
        f"“The peak GPU usage is lower” with LoRot-I and DCL for {len(lower)} of {len(models)} models next to Baseline "
        f"({', '.join(lower)}), and for {len(below)} next to the mean of the three others. A view has as many pixels "
        f"whatever "
        f"was done to it, so peak memory should be one figure per model; it ranges up to {spread[widest][0]} to "
        f"{spread[widest][1]} ({widest}). Differences of that size are not the transforms'."
    )
    rows = [(m, *(f"{cells[m, t]:.1f}" for t in _COLUMNS), f"{mean[m][0]:.2f}", f"{mean[m][1]:.2f}") for m in models]
    heads = ("Model", *_COLUMNS, "Mean of the two", "Mean of the three")
    sums = tuple(f"{m}: {cells[m, 'LoRot-I']} and {cells[m, 'DCL']} < {cells[m, 'Baseline']}" for m in lower)
    return "Memory is not lower with local transforms", says, sums, _table("Peak memory as printed, Go", heads, rows)


def totals(figures: list[Figure]) -> Found:
    """What was run, and for how long."""
    cells = {(f.dataset, f.model, f.transform) for f in figures}
    datasets, models, transforms = (sorted({key[i] for key in cells}) for i in range(3))
    missing = [place for place in product(datasets, models, transforms) if place not in cells]
    methods = {f.method for f in figures}
    birds = len({transform for dataset, _, transform in cells if dataset == "nabirds"})
    hours = math.fsum(f.minutes for f in figures if f.minutes is not None) / 60
    timed = sum(f.minutes is not None for f in figures)
    says = (
        f"“10 models are benchmarked on four different public data sets using five different transformations”: that "
        f"would be "
        f"{len(datasets) * len(models) * len(transforms)} runs; {len(cells)} are printed. NABirds has "
        f"{birds} "
        f"of the five transforms, and the ten models are {len(methods)} methods, one of them with four weights. "
        f"ImageNette's "
        f"{timed} runs took {hours:.2f} GPU-hours; the other sets' times are not printed. No cell has a second run."
    )
    sums = (
        f"{len(datasets)} x {len(models)} x {len(transforms)} = {len(datasets) * len(models) * len(transforms)}; less "
        f"{len(missing)} without a figure = {len(cells)}",
        f"sum of {timed} times: {60 * hours:.1f} min / 60 = {hours:.2f} h",
    )
    return "What was run", says, sums, None


def wrong_pair(second: list[Milestone]) -> Found:
    """The second article's figures that are not their source's pair."""
    wrong = [m for m in second if not m.right]
    told = "; ".join(f"{m.title}: {m.printed_top1} @ {m.printed_parameters}, {m.note}" for m in wrong)
    sums = tuple(
        f"{m.title}: printed {m.printed_top1} @ {m.printed_parameters}; source {100 * m.value:.1f}% @ "
        f"{m.parameters:g}M, "
        f"{m.backbone} ({m.source}): {'agrees' if m.right else 'another network'}"
        for m in second
    )
    says = (
        f"{len(second) - len(wrong)} of the second article's {len(second)} figures are their sources', rounded. "
        f"{told}. At equal "
        "size its list would thus stand otherwise; and DINO's figure is of a network a quarter as large as the first "
        "two's."
    )
    return "One pair of the second article is not its source's", says, sums, None


def _column(figures: list[Figure], transform: str) -> list[Figure]:
    return [f for f in figures if f.transform_as_printed == transform and f.minutes is not None]


def _mean(cells: list[Figure], models: str | tuple[str, ...], key: str) -> float:
    """Mean of minutes or peak_gb over models by name; a string stands for all whose name begins so."""
    if isinstance(models, str):
        return fmean(getattr(f, key) for f in cells if f.model.startswith(f"{models},"))
    return fmean(getattr(f, key) for f in cells if f.model in models)


def _table(caption: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    kinds = tuple(Column(head, "number" if i else "text") for i, head in enumerate(heads))
    return Table(caption, kinds, tuple(Row(tuple(Cell((text,)) for text in row)) for row in rows))

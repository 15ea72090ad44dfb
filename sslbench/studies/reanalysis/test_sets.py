"""Findings on accuracies: what the test sets can carry, and what the digits say of the test sets."""

import math
from collections.abc import Iterator
from itertools import combinations
from statistics import NormalDist, fmean

from scipy import stats as distributions

from sslbench.report.blocks import Cell, Column, Row, Table
from sslbench.stats import paired
from sslbench.studies.ledgers import Figure

Z = NormalDist().inv_cdf(0.975)  # 1.96
TITLES = {
    "imagenette": "ImageNette",
    "imagenette2-160": "ImageNette v2-160",
    "imagewoof": "ImageWoof",
    "nabirds": "NABirds",
}
# Official test sets where the figures do not tell: ImageNette v1 has 500 test pictures (README of fastai/imagenette).
UNTOLD = {"imagenette": 500}
# Pictures of each class in ImageWoof v2's val folder, by the csv file in its archive, in the order of the folders.
WOOF = {
    "Shih-Tzu": 409,
    "Rhodesian ridgeback": 408,
    "beagle": 418,
    "English foxhound": 224,
    "Border terrier": 401,
    "Australian terrier": 407,
    "golden retriever": 401,
    "Old English sheepdog": 422,
    "Samoyed": 429,
    "dingo": 410,
}
NABIRDS = {"pictures": 48_562, "classes": 555, "official test": 24_633}  # its README and train_test_split.txt

Found = tuple[str, str, tuple[str, ...], Table | None]


def columns(figures: list[Figure], metric: str = "top1") -> dict[tuple[str, str], list[Figure]]:
    """The figures of each printed column: (dataset, transform) -> one per model."""
    found: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        if figure.metric == metric:
            found.setdefault((figure.dataset, figure.transform_as_printed), []).append(figure)
    return found


def smallest_differences(figures: list[Figure]) -> Found:
    """The least that two figures must differ by, for each test set."""
    nested = next(d for d in range(1, 30) if paired.mcnemar(d, 0) <= 0.05)
    rows, sums = [], []
    for dataset, n, p in _sets(figures):
        error = math.sqrt(p * (1 - p) / n)
        apart = Z * math.sqrt(2) * error
        rows.append((f"{TITLES[dataset]}", f"{n:,}", f"{p:.3f}", _points(error), _points(apart), _points(nested / n)))
        sums.append(
            f"{TITLES[dataset]}, n = {n:,}: 1.96 x sqrt(2 x {p:.3f} x {1 - p:.3f} / {n}) = {100 * apart:.2f} points; "
            f"{nested} / {n} = {100 * nested / n:.2f} points"
        )
    heads = ("Dataset", "Test pictures", "Mean top-1", "Standard error", "Independent", "At the very least")
    says = (
        "By the choice of test pictures alone, two equal models tested on samples of their own differ by more than "
        "“Independent” in 5 % of cases. On the same pictures the limit is lower where models err alike; the "
        "predictions "
        f"that would tell were not published. No difference below {nested} pictures is significant at 5 % in any case: "
        f"McNemar's exact test gives 2 x 0.5^{nested} = {2 * 0.5**nested:.3f} for {nested} pictures that one model "
        f"alone "
        f"gets right, and {2 * 0.5 ** (nested - 1):.3f} for {nested - 1}. None of this covers the luck of one training."
    )
    return (
        "The smallest difference that each test set can carry",
        says,
        tuple(sums),
        _table("Points of top-1", heads, rows),
    )


def differences_carried(figures: list[Figure]) -> Found:
    """How many of the printed differences within a column exceed those limits."""
    rows, sums, total = [], [], [0, 0, 0]
    for dataset, n, _ in _sets(figures):
        cells = [fs for (d, _), fs in columns(figures).items() if d == dataset]
        pairs = [(a.value, b.value) for fs in cells for a, b in combinations(fs, 2)]
        carried = sum(_apart(a, b, n, 0.05) for a, b in pairs)
        together = sum(_apart(a, b, n, 0.05 / len(pairs)) for a, b in pairs)
        never = sum(round(abs(a - b) * n, 6) < 6 for a, b in pairs)
        rows.append((TITLES[dataset], f"{n:,}", f"{len(pairs)}", f"{carried}", f"{together}", f"{never}"))
        sums.append(
            f"{TITLES[dataset]}, n = {n:,}: {len(cells)} columns x 45 pairs = {len(pairs)}; {carried} of them = "
            f"{100 * carried / len(pairs):.0f} %"
        )
        if n != 3925 or dataset != "imagenette":
            total = [t + v for t, v in zip(total, (len(pairs), carried, together), strict=True)]
    heads = ("Dataset", "Test pictures", "Pairs in a column", "Beyond 5 %", "All pairs together", "Below 6 pictures")
    says = (
        f"Of the {total[0]:,} differences between two models of one column, {total[1]} are beyond what independent "
        f"samples of these sizes differ by, and {total[2]} still are when all pairs of a dataset share the 5 %. Paired "
        "tests, where models err alike, could carry more, but by the digits not those in the last column. Three digits "
        "are "
        "coarse: 0.001 is 3.9 of 3,925 pictures. ImageWoof's two collapsed cells count among all."
    )
    return "Which of the published differences they carry", says, tuple(sums), _table("Pairs of models", heads, rows)


def who_leads(figures: list[Figure]) -> Found:
    """Who stands first in each column, and how many others the test set cannot tell from it."""
    rows, firsts = [], {"BarlowTwins": 0, "VICRegL": 0, "other": 0}
    for (dataset, transform), fs in columns(figures).items():
        n = fs[0].test_pictures or UNTOLD[dataset]
        best = max(f.value for f in fs)
        leaders = [f.model for f in fs if f.value == best]
        family = {m.partition(",")[0] for m in leaders}
        firsts[family.pop() if family <= {"BarlowTwins", "VICRegL"} else "other"] += 1
        close = sum(not _apart(best, f.value, n, 0.05) for f in fs) - len(leaders)
        rows.append(
            (TITLES[dataset], transform, " and ".join(leaders), f"{best:.3f}", f"{close} of {10 - len(leaders)}")
        )
    count = len(rows)
    says = (
        f"By the digits, VICRegL is first in {firsts['VICRegL']} of {count} columns and Barlow Twins in "
        f"{firsts['BarlowTwins']}; no other model is first in {'any' if not firsts['other'] else firsts['other']}. The "
        f"last "
        "column counts the models within two independent samples' difference of the first."
    )
    sums = (f"{firsts['VICRegL']} + {firsts['BarlowTwins']} + {firsts['other']} = {count} columns",)
    heads = ("Dataset", "Transform", "First", "Top-1", "Not told from it")
    return "Who leads, and by how little", says, sums, _table("First of each column", heads, rows, 3)


def alpha(figures: list[Figure]) -> Found:
    """Whether VICRegL's four weights differ by more than noise, and whether their order is chance."""
    spreads, best = [], 0
    for (dataset, transform), fs in columns(figures).items():
        four = {f.model.rpartition("=")[2]: f.value for f in fs if f.method == "vicregl"}
        n = fs[0].test_pictures or UNTOLD[dataset]
        high, low = max(four.values()), min(four.values())
        spreads.append((high - low, f"{TITLES[dataset]}, {transform}", _apart(high, low, n, 0.05)))
        best += four["0.95"] == high
    widest, carried, count = max(spreads), sum(s[2] for s in spreads), len(spreads)
    chance = float(distributions.binom.sf(best - 1, count, 0.25))
    says = (
        f"Between the best and the worst of the four weights lie {100 * widest[0]:.1f} points at most; {carried} of "
        f"{count} "
        f"columns exceed independent samples' 5 %. Yet 0.95 is first, or shares the first place, in {best} of {count}: "
        "small, and not chance alone if columns were independent, which columns of one test set are not."
    )
    sums = (
        f"widest: {widest[1]}, {100 * widest[0]:.1f} points",
        f"P(first in {best} or more of {count} | 1/4 each) = {chance:.1g} (ties count for 0.95, so a little too small)",
    )
    return "VICRegL's weight hardly matters", says, sums, None


def nabirds_test_set(figures: list[Figure]) -> Found:
    """The only number of test pictures that the six-digit figures allow."""
    printed = [f.printed for f in figures if f.dataset == "nabirds" and f.metric == "top5"]
    everything = NABIRDS["pictures"]
    fitting = _fitting(printed, everything)
    n = fitting[0]
    official = sum(shown(value, NABIRDS["official test"]) for value in printed)
    counts = ", ".join(f"{value} = {round(float(value) * n)}/{n}" for value in printed[:4])
    chance = math.log10(n * 1e-6) * len(printed)
    says = (
        f"All {len(printed)} top-5 figures are whole pictures of {n:,}, to their sixth digit. Of all numbers up to the "
        f"{everything:,} pictures there are, only {_listed(fitting)} fit them all: {n:,} and its multiples. Of the "
        f"official {NABIRDS['official test']:,} test pictures {official} of {len(printed)} would fit."
    )
    sums = (
        f"{counts}, ...",
        f"chance that {len(printed)} figures fit {n:,} by luck: ({n} x 10^-6)^{len(printed)} = 10^{chance:.0f}",
    )
    return "NABirds was tested on 9,907 pictures", says, sums, None


def nabirds_split(figures: list[Figure]) -> Found:
    """Which split has that many test pictures."""
    n = next(f.test_pictures for f in figures if f.dataset == "nabirds")
    everything, classes = NABIRDS["pictures"], NABIRDS["classes"]
    plain, most = 0.2 * everything, 0.2 * everything + 0.8 * classes
    says = (
        f"{n:,} is {100 * n / everything:.1f} % of the {everything:,} pictures, not the official "
        f"{100 * NABIRDS['official test'] / everything:.1f} %. A split that keeps int(0.8 k) of each class's k "
        f"pictures for training tests on between {plain:,.1f} and {most:,.1f}, and {n:,} lies there; the split "
        f"per-class-80-20 here, over the real counts of the {classes} classes, has exactly {n:,}. So these figures are "
        "not comparable with published ones on the official split."
    )
    sums = (
        f"{everything} - {n} = {everything - n} for training",
        f"rounding down loses 0 to 0.8 pictures per class: {n} - {plain:.1f} = {n - plain:.1f} = {classes} x "
        f"{(n - plain) / classes:.2f}; with counts spread evenly it would be {classes} x 0.4 = {classes * 0.4:.0f}",
    )
    return "NABirds was split anew, per class", says, sums, None


def imagenette_test_set(figures: list[Figure]) -> Found:
    """Whether the first table can be accuracies on the official 500 test pictures."""
    printed = [f.printed for f in figures if f.dataset == "imagenette"]
    odd = [value for value in printed if not shown(value, 500)]
    fitting = _fitting(printed, 999)
    says = (
        f"An accuracy on 500 pictures is a multiple of 0.002, and {len(odd)} of the {len(printed)} figures are not. So "
        "they are of another split, or means over batches or runs. The smallest number of pictures that fits all "
        f"{len(printed)} is {fitting[0]}; from 1,000 on, three digits fit any, so nothing tells which it was."
    )
    sums = (
        f"not k/500: {', '.join(odd[:8])}, ...",
        f"a binomial error at n = 500 is {_points(math.sqrt(0.68 * 0.32 / 500))} points",
    )
    return "ImageNette's figures are not of its 500 test pictures", says, sums, None


def collapsed(figures: list[Figure]) -> Found:
    """SwAV's two figures at chance, and which test set they fit."""
    cells = {f.transform: f for f in figures if f.dataset == "imagewoof" and f.model == "SwaV" and f.value < 0.11}
    constant, below = cells["simclr"], cells["baseline"]
    total = sum(WOOF.values())
    fits = {
        value.printed: [k for k in range(total + 1) if f"{k / total:.3f}" == value.printed]
        for value in (constant, below)
    }
    named = [name for name, k in WOOF.items() if k in fits[constant.printed]]
    most = fits[below.printed][-1]
    chance = float(distributions.binom.cdf(most, total, 0.1))
    smallest = min(WOOF, key=WOOF.get)
    says = (
        f"ImageWoof v2 has {total:,} test pictures in ten classes. {constant.printed} is what a constant answer scores "
        f"there, by {' or '.join(named)}, the two largest classes in training (949 pictures each): features that "
        f"carry nothing, and a head that knows the classes' sizes. {below.printed} is no class's share: even the "
        f"smallest, "
        f"{smallest}, gives {WOOF[smallest] / total:.3f}. It is worse than guessing, half of {401 / total:.4f}, and "
        "unexplained. Both are printed among the other results without a word."
    )
    low, high = fits[constant.printed][0], fits[constant.printed][-1]
    sums = (
        f"{constant.printed}: {low} to {high} of {total}; {', '.join(f'{name} {WOOF[name]}' for name in named)}: 401 / "
        f"{total} "
        f"= {401 / total:.4f}",
        f"{below.printed}: {fits[below.printed][0]} to {most} of {total}; P({most} or fewer right | 1/10) = "
        f"{chance:.0e}; "
        f"classes of so many pictures: {sum(k in fits[below.printed] for k in WOOF.values())}; 401 / 2 = 200.5",
        f"on v1's test set, 50 pictures of each class, a constant answer scores 0.100; 0.102 would be 51 of 500, and "
        f"0.051 is {'' if shown('0.051', 500) else 'no '}multiple of 1/500",
    )
    return "SwAV collapsed on ImageWoof", says, sums, None


def sign_flips(figures: list[Figure]) -> Found:
    """Barlow Twins from Baseline to SimCLR's transform: up on one set, down on two."""
    sums, rows = [], []
    for dataset, n, _ in _sets(figures):
        cells = {(f.model, f.transform): f.value for f in figures if f.dataset == dataset and f.metric == "top1"}
        if ("BarlowTwins", "baseline") not in cells:
            continue
        a, b = cells["BarlowTwins", "simclr"], cells["BarlowTwins", "baseline"]
        half = Z * math.sqrt(a * (1 - a) / n + b * (1 - b) / n)
        rest = [
            cells[m, "simclr"] - cells[m, "baseline"]
            for m, t in cells
            if t == "baseline" and m != "BarlowTwins" and min(cells[m, "simclr"], cells[m, "baseline"]) > 0.11
        ]
        rows.append((TITLES[dataset], f"{n:,}", _signed(a - b), _points(half), _signed(fmean(rest))))
        sums.append(f"{TITLES[dataset]}, n = {n:,}: {a:.3f} - {b:.3f} = {_signed(a - b)} points, +-{100 * half:.1f}")
    says = (
        "One change of transform moves Barlow Twins up on ImageNette and down on the two others, each time by more "
        "than "
        "its test set's noise, although ImageNette and its version 2 are the same 13,394 pictures, split otherwise. "
        "Two "
        "trainings of one recipe are not expected to do that; the luck of single runs, or a setting that changed in "
        "between, may."
    )
    heads = ("Dataset", "Test pictures", "Barlow Twins", "95 % of noise, ±", "Mean of the others")
    table = _table("SimCLR's transform less Baseline, points of top-1", heads, rows)
    return "Barlow Twins' best transform changes sign between datasets", says, tuple(sums), table


def _fitting(printed: list[str], most: int) -> list[int]:
    """The numbers of pictures up to ``most`` of which all the figures are whole shares."""
    return [n for n in range(1, most + 1) if all(shown(value, n) for value in printed)]


def shown(printed: str, n: int) -> bool:
    """Whether some whole number of n pictures is printed so, as a share with as many digits."""
    digits = len(printed.partition(".")[2])
    k = round(float(printed) * n)
    return any(f"{j / n:.{digits}f}" == printed for j in (k - 1, k, k + 1) if 0 <= j <= n)


def _sets(figures: list[Figure]) -> Iterator[tuple[str, int, float]]:
    """(dataset, test pictures, mean top-1): ImageNette twice, as nobody knows which of two test sets it was."""
    for dataset in TITLES:
        mine = [f for f in figures if f.dataset == dataset and f.metric == "top1"]
        mean = fmean(f.value for f in mine)
        for n in (UNTOLD[dataset], 3925) if dataset in UNTOLD else (mine[0].test_pictures,):
            yield dataset, n, mean


def _apart(a: float, b: float, n: int, level: float) -> bool:
    """Whether two shares of n pictures each, as independent samples, differ at this level."""
    z = NormalDist().inv_cdf(1 - level / 2)
    return abs(a - b) > z * math.sqrt((a * (1 - a) + b * (1 - b)) / n)


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _listed(numbers: list[int]) -> str:
    told = [f"{n:,}" for n in numbers[:8]]
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return ", ".join(told) + more


def _table(caption: str, heads: tuple[str, ...], rows: list[tuple[str, ...]], texts: int = 1) -> Table:
    kinds = tuple(Column(head, "text" if i < texts else "number") for i, head in enumerate(heads))
    return Table(caption, kinds, tuple(Row(tuple(Cell((text,)) for text in row)) for row in rows))

"""Where the figures come from: what the data doctor found, versions, hardware, hashes, and how to make a cell again."""

import shlex
from collections import Counter

from sslbench.data.doctor import warnings
from sslbench.report.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Folded,
    Paragraph,
    Part,
    Points,
    Row,
    Span,
    Table,
    Text,
)
from sslbench.report.sections import environments, leaks
from sslbench.report.wording import Labels, counted, listed, split_words

_MOST_VALUES = 8  # of one fact; the table of environments has them all
_COMMAND = {"prefix": "snakemake --cores all", "suffix": ""}


def data_parts(report: dict, labels: Labels) -> tuple[Part, ...]:
    """One part per dataset: its hashes, its splits and what the doctor found; of a divided one, the pack once."""
    parts, told = [], set()
    for name, entry in report["datasets"].items():
        manifest = entry["manifest"]
        if not manifest:
            why = next((c["why"] for c in report["cells"] if c["dataset"] == name and c["status"] == "set aside"), "")
            lacking = f"Not packed here. {why or entry['failed']}".strip()
            parts.append(Part(labels.dataset(name), (Paragraph(lacking, "faint"),)))
            continue
        if (
            "@" in name
            and entry["pack"] in told
            and (split := (entry["doctor"].get("splits") or {}).get(entry["split"]))
        ):
            found = _split_findings(_words(entry, entry["split"]), split)
            parts.append(Part(labels.dataset(name), (Points(tuple(found)), *_classes(entry))))
            continue
        told.add(entry["pack"])
        facts: list[tuple[str, Text]] = [("Kind", str(entry["kind"])), ("Split used", _split_used(entry))]
        if judge := labels.judge(name):
            facts.append(("Judged on", f"the labels of {judge}"))
        classes = manifest.get("classes", 0)
        labelled = f"in {counted(classes, 'class', 'classes')}" if classes else "without labels"
        facts.append(("Pictures", f"{manifest.get('count', 0):,} {labelled}"))
        facts.append(("Packed at", f"{manifest.get('pack_size')} px, shortest side"))
        if entry["archive"].get("sha256"):
            facts.append(("Archive, sha256", entry["archive"]["sha256"]))
        facts.append(("Packed content, sha256", str(manifest.get("content_sha256", "not known"))))
        facts += [
            (f"Split: {_words(entry, s)}", _split(v))
            for s, v in sorted((manifest.get("splits") or {}).items())
            if v.get("test")
        ]
        blocks: list[Block] = [Facts(tuple((k, Span(v, "code") if "sha256" in k else v) for k, v in facts))]
        blocks += _findings(entry) + leaks.blocks(entry)
        parts.append(Part(labels.dataset(name), tuple(blocks)))
    return tuple(parts)


def provenance(report: dict, labels: Labels) -> tuple[Block, ...]:
    """Commits, versions and hardware; what differs between cells; every cell that is not today's, missing or failed."""
    shown = [c for c in report["cells"] if c["status"] in ("done", "stale")]
    found = environments.environments(shown)
    blocks: list[Block] = [Facts(_facts(report, shown))]
    blocks += [*environments.warnings(shown), *environments.table(found)]
    blocks += _not_current(report, labels)
    blocks += _how(report, shown)
    if shown:
        blocks.append(_every_cell(report, shown, found))
    if report["plan"].get("config_text"):
        blocks.append(Folded("The configuration", (Code(report["plan"]["config_text"].rstrip()),)))
    return tuple(blocks)


def foot(report: dict) -> str:
    """A printed sheet's foot: which page it is of, and the commit that made its cells."""
    shown = [c for c in report["cells"] if c["status"] in ("done", "stale") and c["made"]["commit"]]
    commits = sorted(set(map(environments.commit, shown)))
    told = f"{len(commits)} commits, see Provenance" if len(commits) > 1 else "".join(f"commit {c}" for c in commits)
    plan = report["plan"]
    return " · ".join(filter(None, (f"sslbench / {plan['name']}", plan.get("title"), told)))


def _facts(report: dict, shown: list[dict]) -> tuple[tuple[str, str], ...]:
    facts = [("Plan", report["plan"]["name"])]
    facts.append(("Commit of the cells", _tally(Counter(map(environments.commit, shown)))))
    facts.append(("Hardware", _tally(Counter(map(environments.hardware, shown)))))
    facts.append(("System", _tally(Counter(c["made"].get("platform") or "" for c in shown))))
    facts.append(("CPU threads", _tally(Counter(str(c["made"]["threads"] or "") for c in shown))))
    for name in sorted({name for c in shown for name in environments.versions(c)}):
        facts.append((f"Version of {name}", _tally(Counter(str(environments.versions(c).get(name)) for c in shown))))
    facts.append(("Precision", _tally(Counter(str(c["protocol"]["precision"]) for c in shown))))
    facts.append(("Backbone", _tally(Counter(str(c["protocol"]["backbone"]) for c in shown))))
    resumed = sum(bool(c["made"]["resumed"]) for c in shown)
    if resumed:
        facts.append(("Resumed after a stop", counted(resumed, "cell")))
    # Once each, on however many sets judged
    shown = list(
        {(c.get("trained_as") or c["dataset"], c["model"], c["transform"], c["seed"]): c for c in shown}.values()
    )
    energy = [c["cost"]["energy_joules"] for c in shown if c["cost"]["energy_joules"] is not None]
    if energy:
        facts.append(("Energy", f"{sum(energy) / 3.6e6:.2f} kWh over {counted(len(energy), 'cell')}"))
    spent = [c["cost"]["minutes"] for c in shown if c["cost"]["minutes"] is not None]
    if any(spent):
        facts.append(("Time", f"{sum(spent) / 60:.2f} hours over {counted(len(spent), 'cell')}"))
    return tuple((name, value) for name, value in facts if value)


def _not_current(report: dict, labels: Labels) -> list[Block]:
    """A table of what is stale, missing or failed, with the key that changed or the log's last line."""
    rows = []
    for state in ("stale", "failed", "missing", "set aside"):
        groups: dict[tuple[str, str], list[dict]] = {}
        for cell in report["cells"]:
            if cell["status"] == state:
                groups.setdefault((cell["why"], cell["log"]), []).append(cell)
        for (why, log), cells in groups.items():
            names = [f"{labels.model(c['model'])}, {c['transform']}, seed {c['seed']}, {c['dataset']}" for c in cells]
            lines: list = [why] if why else []
            if log and log not in why:
                lines.append(Span(log, "code"))
            kind = {"set aside": "aside"}.get(state, state)
            what = Cell(tuple(names) if len(names) <= 4 else (*names[:3], f"and {len(names) - 3} more like these"))
            rows.append(Row((what, Cell((Span(state, kind),)), Cell((str(len(cells)),)), Cell(tuple(lines)))))
    if not rows:
        return []
    columns = (
        Column("Cells", "text"),
        Column("State", "text"),
        Column("Number"),
        Column("Why, and the log's last line", "text"),
    )
    return [Table("Cells without a current result", columns, tuple(rows))]


def _how(report: dict, shown: list[dict]) -> list[Block]:
    cells = shown or report["cells"]
    if not cells:
        return []
    first = cells[0]
    made, lines = first["made"], []
    if made.get("commit") and made.get("clean"):
        lines.append(f"git checkout {shlex.quote(made['commit'])}")
    text = "To make one cell again, here the first one, from the repository's root:"
    return [Paragraph(text), Code("\n".join([*lines, reproduce(report, first)]))]


def reproduce(report: dict, cell: dict, folder: str | None = None) -> str:
    """The command that makes a cell. Its target comes first: Snakemake's --configfile takes all values that follow."""
    command = report["plan"].get("command") or _COMMAND
    file = "linear.json" if cell.get("probed", True) else "labelfree.json"
    target = f"{folder}/{file}" if folder else shlex.quote(f"{cell['folder']}/{file}")
    return f"{command['prefix']} {target} {command['suffix']}".rstrip()


def _every_cell(report: dict, shown: list[dict], found: list[environments.Environment]) -> Folded:
    """Commands differ in the folder alone, so that stands in the table and the rest of them once above it."""
    pattern = reproduce(report, shown[0], "FOLDER/SEED")
    text = ("The command that makes a cell, with its folder and seed from the table: ", Span(pattern, "code"))
    return Folded("Every cell's digest and command", (Paragraph(text), environments.digests(shown, found)))


def _findings(entry: dict) -> list[Block]:
    """What the data doctor found: sizes, colour, unreadable pictures, classes, pictures that stand on both sides."""
    doctor = entry["doctor"]
    if not doctor:
        return [Paragraph("The data doctor has not seen it.", "faint")]
    items: list[Text] = []
    side = doctor.get("shortest_side") or {}
    if side.get("max") is not None:
        sides = f"Shortest sides of {side['min']:,} to {side['max']:,} px, half of them at most {side['median']:g} px"
        items.append(f"{sides}; {counted(doctor.get('grey', 0), 'picture')} without colour.")
    if doctor.get("unlabelled"):
        items.append(f"{counted(doctor['unlabelled'], 'picture')} without a label.")
    unreadable = doctor.get("unreadable") or {"count": 0, "first": []}
    named = listed([f"{u['name']} ({u['reason']})" for u in unreadable["first"]], most=10)
    items.append(f"{counted(unreadable['count'], 'unreadable picture')}{f', left out: {named}' if named else ''}.")
    items += [f"{line[0].upper()}{line[1:]}." for line in warnings(doctor)]
    for name, split in sorted((doctor.get("splits") or {}).items()):
        known = (entry.get("leaks") or {}).get("judge") == entry["name"] and name == entry["split"]
        items += _split_findings(_words(entry, name), split | ({"in_both": None} if known else {}))
    return [Points(tuple(items)), *_classes(entry)]


def _split_findings(name: str, split: dict) -> list[Text]:
    if not split.get("test"):
        return [f"All {counted(split.get('train', 0), 'picture')} train."]
    sides = []
    for part, word in (("train", "training"), ("test", "test")):
        counts = split.get(f"{part}_per_class") or []
        each = f", {min(counts):,} to {max(counts):,} a class" if counts else ""
        sides.append(f"{split.get(part, 0):,} {word}{each}")
    if "val" in split:
        sides.append(f"{split['val']:,} val, which chooses the probe's penalty")
    found: list[Text] = [f"Split, {name}: {'; '.join(sides)}."]
    if groups := split.get("groups_in_both"):
        pair = listed(split.get("of_one_group") or [])
        found.append(
            (Span(f"{counted(groups, 'group')} on more than one side", "strong"), f", e.g. of {pair}." if pair else ".")
        )
    if split.get("untested"):
        found.append(f"No accuracy speaks of classes without test pictures: {listed(split['untested'])}.")
    both = split.get("in_both") or {"count": 0, "first": []}
    if both["count"]:
        first = both["first"][0]
        verb = "stands" if both["count"] == 1 else "stand"
        told = f"{counted(both['count'], 'test picture')} of the split, {name}, {verb} in training too"
        found.append((Span(told, "strong"), f", byte for byte: {first['test'][0]} is {first['train'][0]}."))
    if split.get("fault"):
        found.append((Span(f"The split, {name}, cannot be used", "strong"), f": {split['fault']}."))
    return found


def _classes(entry: dict) -> list[Block]:
    """Counts per class of the split used, folded away."""
    classes = entry["doctor"].get("classes") or []
    split = (entry["doctor"].get("splits") or {}).get(entry.get("split"), {})
    train, test = split.get("train_per_class") or [], split.get("test_per_class") or []
    if not classes or len(train) != len(classes) or len(test) != len(classes):
        return []
    columns = (Column("Class", "text"), Column("Pictures"), Column("Training"), Column("Test"))
    rows = []
    for one, first, second in zip(classes, train, test, strict=True):
        name = (one["title"], Span(one["class"], "code")) if one["title"] != one["class"] else (one["title"],)
        rows.append(Row((Cell(name), *(Cell((f"{n:,}",)) for n in (one["count"], first, second)))))
    table = Table(f"Pictures per class, split: {_words(entry, entry['split'])}", columns, tuple(rows))
    return [Folded(f"Pictures in each of the {len(classes):,} classes", (table,))]


def _words(entry: dict, split: str) -> str:
    return split_words(split, entry["kind"], entry["manifest"].get("splits"))


def _split_used(entry: dict) -> str:
    """The split that the cells use, in words; pictures without labels are all trained on."""
    split = entry.get("split")
    stored = (entry["manifest"].get("splits") or {}).get(split)
    if stored and not stored.get("test"):
        return "none, all pictures train"
    return _words(entry, split) if split else "not named"


def _split(value: dict) -> Text:
    told = f"{value.get('train', 0):,} training, {value.get('test', 0):,} test"
    return (f"{told}; sha256 ", Span(value["sha256"], "code")) if value.get("sha256") else told


def _tally(counts: Counter) -> str:
    """`x` where all agree, else each value with the number of cells that have it, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) == 1:
        return ordered[0][0]
    told = [f"{name or 'not known'} ({counted(n, 'cell')})" for name, n in ordered[:_MOST_VALUES]]
    rest = len(ordered) - _MOST_VALUES
    return "; ".join([*told, f"and {rest} more"] if rest > 0 else told)

"""What the configuration expands into: datasets, models and transforms by name, and the cells that cross them.

A cell's settings are one JSON string with sorted keys that holds everything its result depends on, bar code and data,
and nothing else: no names, paths, devices or workers. It is Snakemake's `params.settings`, the heart of run.json, and
what the engine works from.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from sslbench import registry
from sslbench.config.models import Training
from sslbench.data.sources import content
from sslbench.data.spec import DatasetSettings
from sslbench.errors import UserError, about
from sslbench.grid import pretrained, random_init
from sslbench.methods.spec import MethodFacts, MethodSettings
from sslbench.store import code_check
from sslbench.store.canonical_json import canonical
from sslbench.transforms.spec import TransformSettings


@dataclass(frozen=True)
class Dataset:
    name: str
    kind: str
    settings: DatasetSettings
    pack_size: int  # px, shortest side
    source: str  # folder name of what is fetched
    whole: str  # folder name of all its packed images
    data: Path = Path("data")  # the folder of both
    part: str = ""  # which of a divided dataset, e.g. fold1of5; of one that is judged on several, the name of that
    first: "Dataset | None" = field(default=None, repr=False)  # of its parts, where it is not that itself
    excluding: "tuple[Dataset, ...]" = ()  # whose test images are left out of pretraining

    @cached_property
    def pack(self) -> str:
        """Folder name of the pack that its cells read."""
        if not self.excluding:
            return self.whole
        of = [self.split, *(name for one in self.excluding for name in (one.whole, one.split))]
        return f"{self.whole}-less-{hashlib.sha256(canonical(of).encode()).hexdigest()[:8]}"

    @property
    def entry(self) -> str:
        """Its name under `datasets:`, which the parts of a divided one share."""
        return self.name.partition("@")[0]

    @cached_property
    def trained_as(self) -> "Dataset":
        """Whose cells train for its own too: its first part, where that sees the same images and is but judged on
        others; else itself."""
        return self.first if self.first and self.first.read == self.read else self

    @property
    def split(self) -> str:
        """Which of the pack's splits its cells use."""
        return self.settings.split_names().get(self.part) or self.settings.split_name()

    def at(self, input_size: int) -> "Dataset":
        """All of the images, packed for a network of another input size, px, where its own pack does not suffice."""
        if self.settings.pack_size and self.settings.pack_size >= input_size:
            return replace(self, excluding=())
        size = pack_size(input_size)
        return replace(self, pack_size=size, whole=pack_name(self.source, size, self.settings), excluding=())

    @property
    def block(self) -> str:
        """What versions of one official set share: their images are no independent samples. Of others, their source."""
        if self.settings.published() is None:
            return self.source
        return " ".join(filter(None, (self.kind, self.settings.identity().get("name"))))

    @property
    def needs_archive(self) -> bool:
        """True where only the user can supply the pictures, and has not."""
        local = self.settings.archive or self.settings.path
        return local is None and not self.settings.downloads() and not self.settings.drawn

    @cached_property
    def own_counts(self) -> tuple[int, int, int] | None:
        """Training images, test images and classes in the user's own folder or archive; None where it is not there, or
        its images have no names of their own.

        Raises UserError where it cannot be read as training and test images.
        """
        counted = (self.first or self)._counted
        return counted.get(self.part) or counted.get("")

    @cached_property
    def _counted(self) -> dict[str, tuple[int, int, int]]:
        """By part, the user's own files once looked through for all of them."""
        if not self.settings.listed or self.settings.missing():
            return {}
        try:
            from sslbench.data.pack.count import count  # where Snakemake has an environment of its own, jobs say it
        except ImportError:
            return {}
        with about(f"datasets.{self.entry}"):
            return count(self.settings, self.data / "sources" / self.source)

    @property
    def counts(self) -> tuple[int, int] | None:
        """Training and test images: of the user's own files, or as published. None where neither is known."""
        found = self.own_counts
        return found[:2] if found else self.settings.known_counts()

    @cached_property
    def read(self) -> dict:
        """Which pictures a cell sees, as its settings say it."""
        settings, excluded = self.settings, [one.read for one in self.excluding]
        return {
            "source": settings.source(),
            "identity": settings.identity() | {"pack_size": self.pack_size} | encoding(settings),
            "split": self.split,
            # Only where it is asked for, so that no other cell's settings change.
            **({"exclude_test": excluded if len(excluded) > 1 else excluded[0]} if excluded else {}),
        }


@dataclass(frozen=True)
class Model:
    name: str
    method: str
    package: str  # sslbench.methods.<method>
    settings: MethodSettings
    facts: MethodFacts
    training: Training
    overrides: dict  # as the config gives them
    preset: str = ""  # whose constants it begins with; "" for a reference
    auxiliary: dict[str, dict] = field(default_factory=dict)  # pretext tasks beside the method, name -> options

    @property
    def weights(self) -> str | None:
        """Its name under `weights:` where it is a pretrained backbone."""
        return self.name.removeprefix(pretrained.PREFIX) if self.method == pretrained.METHOD else None

    @property
    def title(self) -> str:
        """As it is printed everywhere: `SimCLR (lightly)`, and `SimCLR (lightly, changed)` with a recipe of its own."""
        if self.weights:
            return f"{self.weights}, frozen"
        changed = "changed" if self.preset and self.overrides.get("recipe") else ""
        details = ", ".join(filter(None, (self.settings.form_title, self.preset, changed)))
        return f"{self.facts.title} ({details})" if details else self.facts.title

    @cached_property
    def residual_gain(self) -> int | None:
        """Where the gains of its backbone's residual branches begin; None where it has none."""
        return self.settings.recipe.residual_gain if random_init.has_residual_gains(self.training.backbone) else None

    @cached_property
    def trained(self) -> dict:
        """What its cells' settings say of it where it is trained; one object for all of them, so nobody changes it."""
        training, method = self.training, self.settings
        return {
            "backbone": {
                "name": training.backbone,
                "options": {k: v for k, v in training.backbone_options.items() if k != "zero_init_last"},  # the gain
                "residual_gain": self.residual_gain,
            },
            "input_size": training.input_size,
            "method": {"name": self.method, "options": method.model_dump(mode="json", exclude={"recipe"})},
            "recipe": method.recipe.model_dump(mode="json", exclude={"residual_gain"}),
            "views": [v.model_dump(mode="json") for v in method.views(training.input_size)],
            "train": {
                "epochs": training.epochs,
                "batch_size": training.batch_size,
                "accumulate": training.accumulate,
                "precision": training.precision,
                "channels_last": training.channels_last,
                "compile": training.compile,
                "deterministic": training.deterministic,
                "holdout": training.holdout,
                "measure_every": training.measure_every,
            },
            # Only where there are any, so that no other cell's settings change.
            **({"auxiliary": self.auxiliary} if self.auxiliary else {}),
        }

    @cached_property
    def untrained(self) -> dict:
        """The same of an untrained row, and of a pretrained one, for which `training:` has no say."""
        if self.weights:
            return {
                "backbone": {"name": self.training.backbone, "options": {}, "residual_gain": None},
                "input_size": self.training.input_size,
                "method": {"name": self.method, "options": self.overrides},
                "recipe": {},
                "views": [],
                "train": {"epochs": 0, "batch_size": None, "precision": "fp32"},
            }
        return self.trained | {"views": [], "train": self.trained["train"] | {"epochs": 0}}


@dataclass(frozen=True)
class Transform:
    name: str
    kind: str
    settings: TransformSettings
    overrides: dict

    @cached_property
    def branches(self) -> list[list[dict]]:
        """The operations of both view recipes as plain dicts, less those that never act (p 0)."""
        both = [[operation.model_dump(mode="json") for operation in self.settings.branch(i)] for i in (0, 1)]
        return [[operation for operation in branch if operation.get("p", 1) > 0] for branch in both]


@dataclass(frozen=True)
class Cell:
    """One dataset x model x transform x seed."""

    dataset: Dataset
    evaluated: Dataset  # whose labels it is probed on: the dataset itself, unless that says `evaluate_on`
    model: Model
    transform: Transform | None  # None: an untrained or a pretrained row
    seed: int
    results: Path

    @property
    def reference(self) -> bool:
        return self.model.method in registry.REFERENCES

    @property
    def probed(self) -> bool:
        """Whether anything is labelled that it can be judged on."""
        return self.dataset.settings.probed

    @property
    def names(self) -> tuple[str, str, str, int]:
        return self.dataset.name, self.model.name, self.transform.name if self.transform else "none", self.seed

    @property
    def folder(self) -> Path:
        dataset, model, transform, seed = self.names
        return self.results / dataset / model / transform / f"seed{seed}"

    @cached_property
    def settings(self) -> dict:
        """All that the trained backbone depends on, bar code and data."""
        trained = self.transform is not None
        return (self.model.trained if trained else self.model.untrained) | {
            "dataset": self.dataset.read,
            "transform": self.transform.branches if trained else [[], []],
            "seed": self.seed,
        }

    @cached_property
    def text(self) -> str:
        return canonical(self.settings)

    @property
    def evaluated_data(self) -> dict:
        """Which pictures the probe sees."""
        return self.evaluated.read

    @cached_property
    def code_roots(self) -> tuple[str, ...]:
        """The modules that make this cell's backbone."""
        return code_check.training(self.settings)


def encoding(settings: DatasetSettings) -> dict[str, str]:
    """How the pack holds the images, where not as pixels of all of their range."""
    asked = {"encoding": settings.encoding, "scale": settings.scale}
    return {key: value for key, value in asked.items() if value not in ("pixels", "full")}


def pack_names(
    datasets: dict[str, tuple[DatasetSettings, int]], data: Path = Path("data")
) -> dict[str, tuple[str, str]]:
    """Folder names, below ``data``, of each dataset's source and pack: equal for equal images, so that splits share one
    pack, and of a user's own files another for each place.

    Raises UserError where two datasets would read the same files in two ways.
    """
    names, owners = {}, {}
    for name, (settings, size) in datasets.items():
        source = settings.source()
        if places := [str(content.place(path, data)) for path in settings.read_from()]:
            # Colons and blanks are legal in file names and not in our folders.
            stem = Path(places[0]).name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
            stem = "".join(c if c.isalnum() or c in "._+-" else "_" for c in stem.removesuffix(".zip"))
            digest = hashlib.sha256("\0".join(places).encode(errors="surrogateescape")).hexdigest()[:8]
            source += f"@{stem}-{digest}"
        owner = owners.setdefault(source, (name, settings.identity()))
        if owner[1] != settings.identity():
            raise UserError(
                f"config: datasets.{owner[0]} and datasets.{name} would share the folder {source!r} but read its "
                "files in two ways; copy them, or define one of the two"
            )
        names[name] = (source, pack_name(source, size, settings))
    return names


def pack_size(input_size: int) -> int:
    """px, shortest side, of a pack for a network of this input size."""
    return round(input_size * 8 / 7)


def pack_name(source: str, size: int, settings: DatasetSettings) -> str:
    """The folder of a source's images packed at ``size`` px."""
    unreadable = f"-unreadable{settings.unreadable_share:g}" if settings.unreadable_share else ""
    return f"{source}-{size}px{unreadable}" + "".join(f"-{kind}" for kind in encoding(settings).values())

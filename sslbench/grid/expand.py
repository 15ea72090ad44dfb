"""The grid: the configuration expanded into datasets, models, transforms and the cells that cross them. No torch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel

from sslbench import registry
from sslbench.config.composition import places
from sslbench.config.models import Config, Training
from sslbench.config.plain_values import require_plain
from sslbench.config.validation import filled, require_known, unknown, validated
from sslbench.data.pretraining_data import declared
from sslbench.data.spec import DatasetSettings
from sslbench.errors import UserError
from sslbench.grid import pretrained, random_init
from sslbench.grid.cell import Cell, Dataset, Model, Transform, pack_names, pack_size
from sslbench.methods.spec import MethodSettings
from sslbench.store.canonical_json import canonical
from sslbench.transforms.spec import merge

COLLECTED = "collected"  # beside the datasets' folders of results


class Grid(Config):
    """A configuration with what it defines, each validated once, and its cells."""

    @cached_property
    def all_datasets(self) -> dict[str, Dataset]:
        """Every defined dataset, validated."""
        settings = {}
        for name, entry in self.datasets.items():
            if name == COLLECTED:
                raise UserError(f"config: datasets.{name} is the folder of the report's tables; choose another name")
            kind, options = _kind(entry, "kind", registry.DATASETS, f"datasets.{name}")
            settings[name] = (
                kind,
                filled(registry.load(registry.DATASETS[kind]).Settings, options, f"datasets.{name}"),
            )
        sizes = {name: self._pack_size(s) for name, (_, s) in settings.items()}
        packs = pack_names({name: (s, sizes[name]) for name, (_, s) in settings.items()}, self.paths.data)
        datasets = {}
        for name, (kind, s) in settings.items():
            parts, first = [], None
            for part, own in _parts(name, s, settings, packs).items():
                full = f"{name}@{part}" if part else name
                parts.append(Dataset(full, kind, own, sizes[name], *packs[name], self.paths.data, part, first))
                first = first or parts[0]
            datasets |= {dataset.name: dataset for dataset in parts}
        found: dict[str, Dataset] = {}
        for name, d in datasets.items():
            # Anew, so that its first part is one that leaves out the same.
            found[name] = replace(d, excluding=_excluded(d, datasets), first=d.first and found[d.first.name])
        return found

    def judge(self, dataset: Dataset) -> Dataset:
        """Whose labels its cells are probed on."""
        return _judge_of(dataset, self.all_datasets)

    @cached_property
    def parts_of(self) -> dict[str, list[str]]:
        """What a name in the grid stands for: the dataset of that name, or the parts of the divided one."""
        found = {name: [name] for name in self.all_datasets}
        for name, dataset in self.all_datasets.items():
            if dataset.entry != name:
                found.setdefault(dataset.entry, []).append(name)
        return found

    @cached_property
    def all_models(self) -> dict[str, Model]:
        """Every defined model and the references, validated."""
        models = {}
        for name, entry in self.models.items():
            if name in registry.REFERENCES or name.startswith((random_init.PREFIX, pretrained.PREFIX)):
                raise UserError(f"config: models.{name} is the name of a reference row; choose another name")
            method, options = _kind(entry, "method", registry.METHODS, f"models.{name}")
            models[name] = self._model(name, method, options, registry.METHODS)
        for name in (name for name in registry.REFERENCES if name != pretrained.METHOD):
            models[name] = self._model(name, name, {}, registry.REFERENCES)
        for model in list(models.values()):
            if (name := self.start(model)) not in models:
                own = self.training.model_copy(update=random_init.network(model.training))
                told = random_init.told(own, self.training, model.residual_gain)
                begun = models[random_init.RANDOM].settings
                if model.residual_gain is not None:
                    begun = _begun_at(begun, model.residual_gain)
                models[name] = replace(
                    models[random_init.RANDOM], name=name, settings=begun, training=own, overrides=told
                )
        return models | self._pretrained

    @cached_property
    def _pretrained(self) -> dict[str, Model]:
        """The models of references.pretrained."""
        require_known("references.pretrained", self.references.pretrained, "entry of weights", self.weights)
        asked = {name: self.weights[name] for name in self.references.pretrained}
        package = registry.REFERENCES[pretrained.METHOD]
        module = registry.load(f"{package}.settings")
        models = {}
        for name, network in pretrained.networks(asked, self.paths.data).items():
            own = self.training.model_copy(
                update={"backbone": network.name, "backbone_options": {}, "input_size": network.input_size}
            )
            row = pretrained.PREFIX + name
            models[row] = Model(
                row, pretrained.METHOD, package, module.Settings(), module.FACTS, own, asked[name].asked
            )
        return models

    def start(self, model: Model) -> str:
        """The name of the untrained row of the network that ``model`` begins from."""
        return random_init.row(model.training, self.training, model.residual_gain)

    @cached_property
    def all_transforms(self) -> dict[str, Transform]:
        """Every defined transform, validated."""
        transforms = {}
        for name, entry in self.transforms.items():
            if name == "none":
                raise UserError(f"config: transforms.{name} is what reference rows have; choose another name")
            kind, overrides = _kind(entry, "kind", registry.TRANSFORMS, f"transforms.{name}")
            settings = filled(registry.load(registry.TRANSFORMS[kind]).Settings, overrides, f"transforms.{name}")
            transforms[name] = Transform(name, kind, settings, overrides)
        return transforms

    def cells(self) -> list[Cell]:
        """The grid's cells, once each, then the references'; in the config's order."""
        triples: dict[tuple[str, str, str], None] = {}
        frozen: dict[str, None] = {}  # datasets, all of which have the pretrained rows
        for number, block in enumerate(self.grid):
            where = f"grid[{number}]"
            require_known(f"{where}.datasets", block.datasets, "dataset", self.parts_of)
            require_known(f"{where}.models", block.models, "model", self.models)
            require_known(f"{where}.transforms", block.transforms, "transform", self.all_transforms)
            if bool(block.models) != bool(block.transforms):
                lacking = "transforms" if block.models else "models"
                raise UserError(f"config: {where}.{lacking} names none: name some, or leave out both to train nothing")
            datasets = [part for name in block.datasets for part in self.parts_of[name]]
            if block.downstream:
                _labels_for(datasets, where, block.downstream, self.all_datasets)
            for name in block.models:
                _require_start(self.all_models[name])
            triples.update({(d, m, t): None for d in datasets for m in block.models for t in block.transforms})
            frozen.update(dict.fromkeys(datasets))
        if not self.grid:
            frozen = dict.fromkeys(self._own)
        grid = [self.cell(*triple, seed) for triple in triples for seed in self.seeds]
        if not grid and not self.references.pretrained:
            raise UserError("config: grid names no models, and references.pretrained no weights; name some of either")
        require_known("references.supervised", self.references.supervised, "transform", self.all_transforms)
        crossed: dict[str, tuple[dict[str, None], list[str]]] = {}  # models and transforms of each dataset
        for dataset, model, transform in triples:
            models, transforms = crossed.setdefault(dataset, ({}, []))
            models[model] = None
            transforms.append(transform)
        return (
            grid
            + [
                self.cell(dataset, model, transform, seed)
                for dataset, (models, transforms) in crossed.items()
                for model, transform in self._references(dataset, list(models), transforms)
                for seed in self.seeds
            ]
            + [self.cell(dataset, model, "none", 0) for dataset in frozen for model in self._pretrained]
        )

    @property
    def _own(self) -> list[str]:
        """What is judged where the grid names nothing: the datasets of the user's own files, or all where none is."""
        probed = {name: found for name, found in self.all_datasets.items() if found.settings.probed}
        return [name for name, found in probed.items() if found.settings.read_from()] or list(probed)

    def _references(self, dataset: str, models: list[str], transforms: list[str]) -> list[tuple[str, str]]:
        """The (model, transform) of a dataset's reference rows: its ``models``' starts, training's own first."""
        begun = dict.fromkeys(self.start(self.all_models[name]) for name in models) if self.references.random else {}
        rows = [(name, "none") for name in sorted(begun, key=lambda name: name != random_init.RANDOM)]
        settings = self.all_datasets[dataset].trained_as.settings  # by its own labels, on whatever it is judged
        if self.references.supervised and settings.labelled and settings.evaluate_on is None:
            chosen = [name for name in self.references.supervised if name in transforms] or transforms[:1]
            rows += [("supervised", name) for name in chosen]
        return rows

    def cell(self, dataset: str, model: str, transform: str, seed: int) -> Cell:
        """One cell, in the grid or not."""
        chosen = self.all_datasets[dataset]
        judge, found = self.judge(chosen), self.all_models[model]
        if found.weights:
            chosen, judge = (one.at(found.training.input_size) for one in (chosen, judge))
        return Cell(chosen, judge, found, self.all_transforms.get(transform), seed, self.paths.results)

    def _model(self, name: str, method: str, options: dict, known: dict[str, str]) -> Model:
        module = registry.load(f"{known[method]}.settings")
        overrides, training, presets = dict(options), self.training, module.Settings.presets
        auxiliary = _auxiliary(options.pop("auxiliary", None), f"models.{name}.auxiliary")
        if changes := options.pop("training", None):
            base = self.training
            if isinstance(changes, dict) and changes.get("backbone", base.backbone) != base.backbone:
                base = base.model_copy(update={"backbone_options": {}})  # which were another network's
            training = filled(Training, changes, f"models.{name}.training", base=base)
        preset = options.pop("preset", None)
        if preset is not None and preset not in presets:
            raise unknown(f"models.{name}.preset", preset, f"preset of {module.FACTS.title}", presets)
        if preset is None:
            preset = training.preset if training.preset in presets else next(iter(presets))
        settings = filled(module.Settings, merge(presets[preset], options), f"models.{name}")
        if known is registry.REFERENCES and (zero := training.backbone_options.get("zero_init_last")) is not None:
            settings = _begun_at(settings, 0 if zero else 1)
        if training.batch_size < module.FACTS.min_batch:
            raise UserError(
                f"config: {name} needs a batch of at least {module.FACTS.min_batch}, and training.batch_size is "
                f"{training.batch_size}"
            )
        batch, parts, devices = training.batch_size, training.accumulate, self.compute.devices
        if batch % (parts * devices):
            on = f" on {devices} devices (compute.devices)" if devices > 1 else ""
            raise UserError(f"config: training.accumulate: {parts} does not divide the batch of {batch}{on}")
        if refused := module.FACTS.refused(devices):
            raise UserError(f"config: compute.devices is {devices}, and models.{name}: {refused}")
        preset = "" if known is registry.REFERENCES else preset
        return Model(name, method, known[method], settings, module.FACTS, training, overrides, preset, auxiliary)

    def _pack_size(self, settings: DatasetSettings) -> int:
        return settings.pack_size or pack_size(self.training.input_size)


def load(raw: dict) -> Grid:
    """The validated configuration, expanded.

    Raises:
        UserError: one line that names the key, what it was, what is allowed, and the nearest name.
    """
    require_plain(raw)
    config = validated(Grid, raw, "")
    for key in ("datasets", "models", "transforms", "weights"):
        _require_apart(key, list(getattr(config, key)))
    for name, entry in config.weights.items():
        _require_readable(f"weights.{name}.seen", entry.seen, config.datasets)
    config.cells()  # validates what the grid names
    for rule, job in config.compute.jobs.items():
        require_known(f"compute.jobs.{rule}.datasets", list(job.datasets), "dataset", config.datasets)
    config.compute.check_devices()
    if config.sweep is not None:
        require_known("sweep.transforms", config.sweep.transforms, "transform", config.all_transforms)
        for name in config.sweep.transforms:
            parameter_of(config.all_transforms[name], config.sweep.parameter)
    if config.composition is not None:
        places(config.composition, config.all_transforms)
    return config


def _require_readable(key: str, seen: list[str] | None, datasets: Iterable[str]) -> None:
    """Raise UserError where what weights have seen cannot be read, or names nearly a data set that is known."""
    try:
        declared(seen, datasets)
    except ValueError as error:
        raise UserError(f"config: {key}: {error}") from error


def _require_apart(key: str, names: list[str]) -> None:
    """Raise UserError where two names would be one folder, on a disk that does not distinguish case."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name and Path(__file__).with_name("EXPAND.PY").exists():
            raise UserError(f"config: {key}.{other} and {key}.{name} are one folder on this disk; rename one of them")


def parameter_of(transform: Transform, parameter: str) -> object:
    """The value of a dotted parameter, e.g. ``jitter.strength``, in one transform."""
    value: object = transform.settings
    for part in parameter.split("."):
        fields = list(type(value).model_fields) if isinstance(value, BaseModel) else []
        if part not in fields:
            raise UserError(
                f"config: sweep.parameter: transform {transform.name!r} has no {parameter!r}."
                f"{registry.nearest(part, fields)} Known there: {', '.join(fields)}"
            )
        value = getattr(value, part)
    return value


def _begun_at(settings: MethodSettings, gain: int) -> MethodSettings:
    """The same settings with another start of the residual gains."""
    return settings.model_copy(update={"recipe": settings.recipe.model_copy(update={"residual_gain": gain})})


def _require_start(model: Model) -> None:
    """Raise UserError where a model's residual gains are said twice, or begin where its optimiser cannot move them."""
    recipe, training, name = model.settings.recipe, model.training, model.name
    zero = training.backbone_options.get("zero_init_last")
    if zero is not None and bool(zero) != (recipe.residual_gain == 0):
        raise UserError(
            f"config: models.{name}: backbone_options.zero_init_last: {str(zero).lower()} contradicts its recipe's "
            f"residual_gain: {recipe.residual_gain}; leave zero_init_last out and set recipe.residual_gain"
        )
    if not random_init.has_residual_gains(training.backbone) or recipe.residual_gain != 0:
        return
    if recipe.optimizer == "lars" and not recipe.lars_skips_1d:
        raise UserError(
            f"config: models.{name}: recipe.lars_skips_1d: false keeps gains that begin at 0 (recipe.residual_gain: 0) "
            "there; set lars_skips_1d: true or residual_gain: 1"
        )


def _parts(
    name: str,
    own: DatasetSettings,
    settings: dict[str, tuple[str, DatasetSettings]],
    packs: dict[str, tuple[str, str]],
) -> dict[str, DatasetSettings]:
    """What the datasets that ``name`` stands for are, by what follows the @ in their names, "" where nothing does.

    One that is judged on another's folds is divided as that; one that is judged on several sets stands for as many, of
    which itself, if it is among them, is the first and keeps its name. Raises UserError where it cannot be judged so.
    """
    if not isinstance(own.evaluate_on, list):
        return dict.fromkeys(_judge(name, own.evaluate_on, own, settings).split_names(), own)
    where = f"config: datasets.{name}.evaluate_on"
    first: dict[tuple[str, str], str] = {}
    for other in own.evaluate_on:
        judge = _judge(name, other, own, settings)
        if list(judge.split_names()) != [""]:
            raise UserError(f"{where}: {other!r} is divided into folds or repeats, and a list takes whole sets; name "
                            "it alone, or define it again without them")  # fmt: skip
        if same := first.get(images := (packs[other][0], judge.split_name())):
            told = "is named twice" if same == other else f"and {same!r} are the same images in one split"
            raise UserError(f"{where}: {other!r} {told}; name each set once")
        first[images] = other
    if own.exclude_test and name in own.evaluate_on:
        raise UserError(
            f"config: datasets.{name}.exclude_test: evaluate_on names {name!r} itself, whose images are to stay whole; "
            "define them again under another name, with evaluate_on and exclude_test"
        )
    judges = [None] * (name in own.evaluate_on) + [other for other in own.evaluate_on if other != name]
    return {judge or "": own.model_copy(update={"evaluate_on": judge}) for judge in judges}


def _judge(
    name: str, other: str | None, own: DatasetSettings, settings: dict[str, tuple[str, DatasetSettings]]
) -> DatasetSettings:
    """The settings of ``other``, that ``name`` is judged on. Raises UserError where it cannot be."""
    where = f"config: datasets.{name}.evaluate_on"
    if other is None:
        return own
    if other not in settings:
        raise unknown(f"datasets.{name}.evaluate_on", other, "dataset", settings)
    judge = settings[other][1]
    if other == name and judge.evaluate_on == name:
        raise UserError(f"{where}: it names the dataset itself, which is so without it: leave it out")
    if judge.evaluate_on is not None and not (isinstance(judge.evaluate_on, list) and other in judge.evaluate_on):
        raise UserError(f"{where}: {other!r} is itself judged on another dataset; name a labelled one")
    if not judge.labelled:
        raise UserError(f"{where}: {other!r} has no labels; name a labelled one")
    return judge


def _judge_of(dataset: Dataset, datasets: dict[str, Dataset]) -> Dataset:
    """Of ``datasets``, that whose labels ``dataset``'s cells are probed on; of a divided one, the same part."""
    judge = dataset.settings.evaluate_on
    return datasets.get(f"{judge}@{dataset.part}") or datasets[judge] if isinstance(judge, str) else dataset


def _excluded(dataset: Dataset, datasets: dict[str, Dataset]) -> tuple[Dataset, ...]:
    """Whose test images ``dataset`` is not pretrained on: of one that is judged on several sets, those of all."""
    if not dataset.settings.exclude_test:
        return ()
    several = dataset.part == dataset.settings.evaluate_on
    parts = [one for one in datasets.values() if one.entry == dataset.entry] if several else [dataset]
    judges = (_judge_of(one, datasets) for one in parts)
    return tuple(sorted(judges, key=lambda judge: canonical([judge.read, judge.whole])))  # in whatever order


def _auxiliary(entries: dict | None, where: str) -> dict[str, dict]:
    """The options of the pretext tasks beside a method, validated and complete, by name; a task of weight 0 is none."""
    if entries is not None and not isinstance(entries, dict):
        raise UserError(f"config: {where}: {entries!r} is not allowed: tasks by name, e.g. {{lorot: {{weight: 0.1}}}}")
    tasks = {}
    for name, options in (entries or {}).items():
        if name not in registry.PRETEXT:
            raise unknown(where, name, "pretext task", registry.PRETEXT)
        if options is not None and not isinstance(options, dict):
            raise UserError(
                f"config: {where}.{name}: {options!r} is not allowed: give its options, e.g. {{weight: 0.1}}"
            )
        cls = registry.load(f"{registry.PRETEXT[name]}.settings").Settings
        settings = filled(cls, options or {}, f"{where}.{name}")
        if settings.weight > 0:
            tasks[name] = settings.model_dump(mode="json")
    return tasks


def _kind(entry: dict, key: str, known: dict[str, str], where: str) -> tuple[str, dict]:
    """The entry's kind (or method), checked, and its other keys."""
    options = dict(entry)
    if key not in options:
        raise UserError(f"config: {where} says no `{key}`; allowed: {', '.join(known)}")
    name = options.pop(key)
    if not isinstance(name, str) or name not in known:
        raise unknown(f"{where}.{key}", name, key, known)
    return name, options


def _labels_for(names: list[str], where: str, downstream: Sequence[str], datasets: dict[str, Dataset]) -> None:
    """Raise UserError where a block asks for what needs labels, of a dataset that has none."""
    if bare := [name for name in names if not datasets[name].settings.probed]:
        raise UserError(
            f"config: {where}.downstream: {', '.join(downstream)} need labels, and datasets.{bare[0]} says "
            "labelled: false; give that dataset a block of its own, or evaluate_on"
        )

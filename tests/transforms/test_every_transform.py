"""What every registered operation and every registered transform must be, whoever adds it."""

import subprocess
import sys

import pytest
import torch

from sslbench import registry
from sslbench.data.pack.read import Pictures
from sslbench.transforms import spec
from sslbench.transforms.pipeline import ViewMaker
from sslbench.transforms.spec import merge

SPECS = {kind.model_fields["op"].default: kind for kind in spec.Operation.__subclasses__()}
BATCHED = [name for name in registry.OPERATIONS if name != "random_resized_crop"]


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def build(name: str, **changes):
    parameters = SPECS[name](**changes).model_dump(exclude={"op"})
    return registry.load(registry.OPERATIONS[name])(**parameters)


def images(n: int = 10, size: int = 40) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=seed(1))


def transform(name: str, **overrides) -> spec.TransformSettings:
    settings = registry.load(registry.TRANSFORMS[name]).Settings
    return settings.model_validate(merge(settings().model_dump(), overrides))


def pictures(n: int = 5) -> Pictures:
    return Pictures.from_list(
        [torch.randint(0, 256, (3, 50, 60), generator=seed(i), dtype=torch.uint8) for i in range(n)]
    )


def test_settings_and_implementations_are_registered_one_to_one():
    assert set(SPECS) == set(registry.OPERATIONS)


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.parametrize("n", [1, 10])
def test_an_operation_draws_one_cpu_row_per_image_and_equal_seeds_draw_alike(name, n):
    operation = build(name)
    first, again = (operation.draw(n, 40, 40, seed(4)) for _ in range(2))
    assert all(len(values) == n and values.device.type == "cpu" for values in first.values())
    assert all(torch.equal(values, again[key]) for key, values in first.items())


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.parametrize("size", [33, 64])
def test_an_operation_is_pure_and_keeps_shape_and_dtype(name, size):
    operation, batch = build(name), images(size=size)
    drawn = operation.draw(10, size, size, seed())
    before, kept = batch.clone(), {key: values.clone() for key, values in drawn.items()}
    first, again = operation.apply(batch, drawn), operation.apply(batch, drawn)
    assert torch.equal(batch, before) and all(torch.equal(values, kept[key]) for key, values in drawn.items())
    assert torch.equal(first, again) and first.shape == batch.shape and first.dtype == batch.dtype
    assert first.data_ptr() != batch.data_ptr()
    assert not torch.equal(first, batch)


@pytest.mark.parametrize("name", [name for name in BATCHED if "p" in SPECS[name].model_fields])
def test_images_that_did_not_fire_are_bit_identical_and_the_others_are_not(name):
    operation, batch = build(name, p=0.5), images(40)
    drawn = operation.draw(40, 40, 40, seed(2))
    same = (operation.apply(batch, drawn) == batch).flatten(1).all(dim=1)
    assert same[~drawn["fired"]].all()
    assert 0 < (~same).sum() <= drawn["fired"].sum()


@pytest.mark.parametrize("name", [name for name in BATCHED if name != "normalize"])
def test_an_operation_stays_within_0_and_1(name):
    operation, batch = build(name), images(40)
    changed = operation.apply(batch, operation.draw(40, 40, 40, seed(3)))
    assert changed.min() >= -1e-6 and changed.max() <= 1 + 1e-6


@pytest.mark.parametrize("name", BATCHED)
def test_an_operation_treats_each_image_by_its_own_parameters_alone(name):
    operation, batch = build(name), images()
    drawn = operation.draw(10, 40, 40, seed(5))
    whole = operation.apply(batch, drawn)
    for i in range(10):
        alone = operation.apply(batch[i : i + 1], {key: values[i : i + 1] for key, values in drawn.items()})
        assert (alone - whole[i : i + 1]).abs().max() < 1e-5


@pytest.mark.parametrize("name", BATCHED)
def test_computing_all_images_and_selecting_is_the_same_as_visiting_those_that_fired(name):
    """The first is an accelerator's way, the second a CPU's."""
    operation, batch = build(name), images(40)
    drawn = operation.draw(40, 40, 40, seed(7))
    if name == "normalize":  # draws nothing, touches all
        selected = operation.change(batch, drawn)
    else:
        everything = operation.traced(batch.clone(), drawn)
        selected = torch.where(operation.touched(drawn)[:, None, None, None], everything, batch)
    assert (selected - operation.apply(batch, drawn)).abs().max() < 1e-5


@pytest.mark.parametrize("name", [name for name in BATCHED if build(name).geometric])
def test_a_geometric_operation_moves_locations_as_it_moves_pixels(name):
    operation, batch = build(name), images()
    drawn = operation.draw(10, 40, 40, seed(6))
    assert torch.equal(operation.apply_locations(batch[:, :2].clone(), drawn), operation.apply(batch, drawn)[:, :2])


def test_declarations_import_no_torch():
    script = (
        "import sys; from sslbench import registry\n"
        "[registry.load(module).Settings() for module in registry.TRANSFORMS.values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("name", registry.TRANSFORMS)
def test_a_transform_states_its_source_and_its_open_choices(name):
    text = registry.load(registry.TRANSFORMS[name]).__doc__
    assert "Open in the source" in text and len(text.splitlines()) > 5


@pytest.mark.parametrize("name", registry.TRANSFORMS)
def test_a_transform_begins_with_the_crop_ends_with_normalisation_and_survives_json(name):
    settings = transform(name)
    steps = [operation.op for operation in settings.branch(0)]
    assert steps[0] == "random_resized_crop" and steps[-1] == "normalize" and set(steps) <= set(registry.OPERATIONS)
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    assert settings.branch(0) == settings.branch(1)


@pytest.mark.parametrize("name", registry.TRANSFORMS)
@pytest.mark.parametrize("size", [32, 33])
def test_a_transform_makes_finite_views_that_differ_between_draws(name, size):
    maker = ViewMaker([operation.model_dump() for operation in transform(name).branch(0)], size)
    first, second = (maker.make(pictures(), seed(s), want_locations=True) for s in (1, 2))
    assert first.images.shape == (5, 3, size, size) and first.locations.shape == (5, 2, size, size)
    assert first.images.isfinite().all() and not torch.equal(first.images, second.images)


@pytest.mark.parametrize("name", registry.TRANSFORMS)
def test_every_probability_of_a_transform_can_be_overridden(name):
    chances = [field for field, value in transform(name) if isinstance(value, spec.Operation) and hasattr(value, "p")]
    for p in (0.0, 1.0):
        settings = transform(name, **{field: {"p": p} for field in chances})
        maker = ViewMaker([operation.model_dump() for operation in settings.branch(0)], 32)
        assert len(maker.steps) == (len(chances) if p else 0) + 1  # and normalisation
        assert maker.make(pictures(), seed()).images.isfinite().all()

"""Native views are the eager ones within float rounding, whatever the threads, the layout and the neighbours."""

import threading

import pytest
import torch

from sslbench import registry
from sslbench.data.pack.read import Pictures
from sslbench.transforms.cpu import apply, backend
from sslbench.transforms.ops.base import BatchedOperation
from sslbench.transforms.ops.flip import HorizontalFlip
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.pipeline import ViewMaker, center_view
from sslbench.transforms.spec import Normalize as NormalizeSettings

pytestmark = pytest.mark.skipif(backend.native() is None, reason="no C compiler here")

CROP = {"op": "random_resized_crop", "scale": (0.2, 1.0), "ratio": (3 / 4, 4 / 3)}
EVERYTHING = [
    CROP,
    {"op": "horizontal_flip", "p": 0.5},
    {"op": "rotate", "p": 0.5, "degrees": None},
    {"op": "vertical_flip", "p": 0.5},
    {"op": "rotate_square", "p": 0.7, "smallest": 2, "largest_share": 0.5, "box": "image"},
    {"op": "rotate", "p": 0.5, "degrees": 30},
    {"op": "region_confusion", "p": 0.5, "tiles": 7, "reach": 2, "variant": "paper"},
    NormalizeSettings().model_dump(),
]
USUAL = NormalizeSettings()


@pytest.fixture(autouse=True)
def as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    backend.configure("auto")


def seed(value: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def pictures(n: int = 40) -> Pictures:
    """Noise, smoothed and not, of several shapes."""
    made = []
    for i in range(n):
        noise = torch.rand(1, 3, *[(72, 96), (80, 72), (100, 75)][i % 3], generator=seed(i))
        if i % 2:
            noise = torch.nn.functional.avg_pool2d(noise, 9, 1, 4)
        made.append((noise[0] * 255).to(torch.uint8))
    return Pictures.from_list(made)


def operations(name: str) -> list[dict]:
    return [operation.model_dump() for operation in registry.load(registry.TRANSFORMS[name]).Settings().branch(0)]


def both(maker: ViewMaker, batch: Pictures, **options):
    drawn = maker.draw(batch.heights, batch.widths, seed())
    views = []
    for mode in ("native", "eager"):
        backend.configure(mode)
        views.append(maker.apply(batch, drawn, **options))
    return views


@pytest.mark.parametrize("name", registry.TRANSFORMS)
@pytest.mark.parametrize("size", [33, 64, 96, 224])
def test_every_transform_is_the_eager_one_within_rounding(name, size):
    native, eager = both(ViewMaker(operations(name), size), pictures(), want_locations=True)
    back = Normalize(USUAL.mean, USUAL.std).undo
    error = (back(native.images) - back(eager.images)).abs()
    assert error.max() < 4e-6 and error.mean() < 1e-7  # of the range [0, 1]
    assert torch.equal(native.locations, eager.locations)


def test_chains_without_colour_move_the_same_pixels_and_places():
    native, eager = both(ViewMaker(EVERYTHING[:5] + EVERYTHING[6:], 64), pictures(), want_locations=True)
    assert torch.equal(native.images, eager.images) and torch.equal(native.locations, eager.locations)
    native, eager = both(ViewMaker(EVERYTHING, 64), pictures(), want_locations=True)
    assert (native.images - eager.images).abs().max() < 0.02 / 255 / 0.225  # see the parity test of rotation
    assert (native.locations - eager.locations).abs().max() < 1e-3


@pytest.mark.parametrize("size", [33, 64, 224])
@pytest.mark.parametrize("name", ["simclr", "baseline"])
def test_views_do_not_depend_on_the_number_of_threads(name, size):
    batch, maker, views = pictures(), ViewMaker(operations(name), size), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        views.append(maker.make(batch, seed(), want_locations=True))
    assert all(torch.equal(view.images, views[0].images) for view in views)
    assert all(torch.equal(view.locations, views[0].locations) for view in views)


def test_a_picture_does_not_depend_on_its_neighbours():
    batch, maker = pictures(), ViewMaker(operations("simclr"), 48)
    drawn = maker.draw(batch.heights, batch.widths, seed())
    whole = maker.apply(batch, drawn).images
    for i in (0, 17, 39):
        mine = {step: {name: values[i : i + 1] for name, values in of.items()} for step, of in drawn.items()}
        assert torch.equal(maker.apply(Pictures.from_list([batch.picture(i)]), mine).images[0], whole[i])


def test_two_threads_may_make_views_at_once():
    batch, maker = pictures(), ViewMaker(operations("simclr"), 64)
    drawn, made = maker.draw(batch.heights, batch.widths, seed()), []
    torch.set_num_threads(2)
    workers = [threading.Thread(target=lambda: made.append(maker.apply(batch, drawn).images)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 4 and all(torch.equal(images, made[0]) for images in made)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["native", "eager"])
def test_dtype_and_layout_are_those_asked_for_and_change_nothing_else(mode, dtype, memory_format):
    batch, maker = pictures(9), ViewMaker(operations("simclr"), 33)
    backend.configure(mode)
    plain = maker.make(batch, seed()).images
    asked = maker.make(batch, seed(), dtype=dtype, memory_format=memory_format).images
    assert asked.dtype == dtype and asked.is_contiguous(memory_format=memory_format)
    assert torch.equal(asked, plain.to(dtype))  # to the nearest, ties to even


def test_the_evaluation_view_is_bit_equal_in_both_ways():
    batch, views = pictures(), []
    for mode in ("native", "eager"):
        backend.configure(mode)
        views.append(center_view(batch, 56, 256 / 224).images)
    assert torch.equal(*views)


class Inverted(BatchedOperation):
    """What a user adds without a line of C."""

    def change(self, images, parameters):
        return 1 - images


class Halved(HorizontalFlip):
    """A subclass of an operation with a native form, which does something else."""

    def change(self, images, parameters):
        return images / 2


@pytest.mark.parametrize("own", [Inverted(0.5), Halved(0.5)])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_operations_without_a_native_form_take_part_anywhere(own, position):
    assert not apply.has_native_form(own) and apply.has_native_form(HorizontalFlip())
    maker = ViewMaker(operations("simclr"), 48)
    steps = list(maker.steps.items())
    maker.steps = dict([*steps[:position], ("own", own), *steps[position:]])
    native, eager = both(maker, pictures(), want_locations=True)
    assert (native.images - eager.images).abs().max() < 2e-5
    assert torch.equal(native.locations, eager.locations)


def test_every_operation_of_a_named_transform_has_a_native_form():
    """Those that only composed ones use run in torch between the compiled stretches."""
    named = [registry.load(module).Settings() for module in registry.TRANSFORMS.values()]
    used = {step.op for settings in named for step in settings.branch(0)} - {"random_resized_crop"}
    assert used >= {"color_jitter", "gaussian_blur", "rotate_square", "region_confusion", "normalize"}
    for name in used:
        assert "native" in vars(registry.load(registry.OPERATIONS[name])), name

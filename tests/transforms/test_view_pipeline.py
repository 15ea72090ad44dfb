"""Views made from packed pictures: reproducible, sliceable, faithful in place and in scale."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench import registry
from sslbench.data.pack.read import Pictures
from sslbench.errors import UserError
from sslbench.transforms.ops.normalize import Normalize
from sslbench.transforms.pipeline import ViewMaker, center_view, rows_of, to_device
from sslbench.transforms.spec import Normalize as NormalizeSettings
from sslbench.transforms.spec import merge

GEOMETRY = [
    {"op": "random_resized_crop", "scale": (0.2, 1.0), "ratio": (3 / 4, 4 / 3)},
    {"op": "rotate", "p": 0.5, "degrees": None},
    {"op": "horizontal_flip", "p": 0.5},
    {"op": "vertical_flip", "p": 0.5},
    {"op": "rotate_square", "p": 0.7, "smallest": 2, "largest_share": 0.5, "box": "image"},
    {"op": "region_confusion", "p": 0.5, "tiles": 7, "reach": 2, "variant": "paper"},
]


def seed(value: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def pictures(n: int = 24) -> Pictures:
    shapes = [(72, 96), (80, 72), (100, 75)]
    return Pictures.from_list(
        [torch.randint(0, 256, (3, *shapes[i % 3]), generator=seed(i), dtype=torch.uint8) for i in range(n)]
    )


def operations(name: str, branch: int = 0, **overrides) -> list[dict]:
    settings = registry.load(registry.TRANSFORMS[name]).Settings
    chosen = settings.model_validate(merge(settings().model_dump(), overrides))
    return [operation.model_dump() for operation in chosen.branch(branch)]


def normalised_back(images: torch.Tensor) -> torch.Tensor:
    usual = NormalizeSettings()
    return Normalize(usual.mean, usual.std).undo(images)


@pytest.mark.parametrize("name", registry.TRANSFORMS)
@pytest.mark.parametrize("size", [33, 64, 96, 224])
def test_equal_generators_make_bit_equal_views_at_every_size(name, size):
    batch, maker = pictures(6), ViewMaker(operations(name), size)
    first, again, other = (maker.make(batch, seed(s)).images for s in (1, 1, 2))
    assert first.shape == (6, 3, size, size) and first.dtype == torch.float32
    assert torch.equal(first, again) and not torch.equal(first, other)
    restored = normalised_back(first)
    assert restored.min() > -1e-5 and restored.max() < 1 + 1e-5


def test_a_process_that_makes_its_rows_of_the_batch_makes_the_same_views():
    """Parameters are drawn for the whole batch, then cut: no view depends on how many processes share it."""
    batch, maker = pictures(), ViewMaker(operations("simclr"), 48)
    drawn = maker.draw(batch.heights, batch.widths, seed())
    whole = maker.apply(batch, drawn).images
    for rows in (slice(0, 8), slice(8, 24)):
        part = Pictures.from_list([batch.picture(i) for i in range(*rows.indices(24))])
        assert (maker.apply(part, rows_of(drawn, rows)).images - whole[rows]).abs().max() < 1e-5


def test_views_do_not_depend_on_the_number_of_threads_and_leave_it_as_it_was():
    batch, maker, before = pictures(), ViewMaker(operations("baseline"), 64), torch.get_num_threads()
    views = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            views.append(maker.make(batch, seed()).images)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*views)


def test_draws_are_on_the_cpu_with_one_row_per_picture_whatever_the_device():
    batch, maker = pictures(5), ViewMaker(GEOMETRY + operations("baseline")[1:], 48)
    for mine in maker.draw(batch.heights, batch.widths, seed()).values():
        assert all(len(values) == 5 and values.device.type == "cpu" for values in mine.values())


def test_changing_one_operation_leaves_the_draws_of_the_others():
    batch = pictures()
    plain, loud = (
        ViewMaker(operations("simclr", jitter={"p": p}), 48).draw(batch.heights, batch.widths, seed()) for p in (0, 0.8)
    )
    assert "color_jitter" in loud and "color_jitter" not in plain
    for step, mine in plain.items():
        assert all(torch.equal(values, loud[step][name]) for name, values in mine.items())


def test_successive_views_of_one_generator_differ():
    batch, maker, generator = pictures(), ViewMaker(operations("lorot"), 48), seed()
    assert not torch.equal(maker.make(batch, generator).images, maker.make(batch, generator).images)


def test_the_second_branch_follows_its_overrides():
    first, second = (
        operations("simclr", branch, second={"blur": {"p": 0.0}, "solarize": {"p": 1.0}}) for branch in (0, 1)
    )
    assert {"gaussian_blur", "solarize"} & set(ViewMaker(first, 32).steps) == {"gaussian_blur"}
    assert {"gaussian_blur", "solarize"} & set(ViewMaker(second, 32).steps) == {"solarize"}


def test_operations_that_never_fire_are_left_out():
    assert list(ViewMaker(operations("lorot"), 32).steps) == ["horizontal_flip", "rotate_square", "normalize"]
    flips_only = operations("orthogonality", jitter={"p": 0}, gray={"p": 0}, blur={"p": 0})
    assert list(ViewMaker(flips_only, 32).steps) == ["horizontal_flip", "vertical_flip", "normalize"]


def test_a_method_may_set_the_crop_scale_and_nothing_else():
    batch = pictures()
    local = ViewMaker(operations("simclr"), 33, (0.05, 0.2))
    boxes = local.draw(batch.heights, batch.widths, seed())["crop"]
    share = boxes["height"] * boxes["width"] / (batch.heights * batch.widths)
    assert share.max() < 0.22
    assert list(local.steps) == list(ViewMaker(operations("simclr"), 33).steps)


def test_a_transform_without_a_crop_takes_the_centred_square():
    batch, usual = pictures(), NormalizeSettings()
    view = ViewMaker([usual.model_dump()], 40).make(batch, seed())
    assert torch.equal(view.images, center_view(batch, 40).images)


def test_a_second_crop_is_refused():
    crop = GEOMETRY[0]
    with pytest.raises(UserError, match="stands first and only once"):
        ViewMaker([crop, {"op": "horizontal_flip", "p": 0.5}, crop], 32)


def test_an_operation_may_occur_twice_with_draws_of_its_own():
    flip = {"op": "horizontal_flip", "p": 0.5}
    drawn = ViewMaker([GEOMETRY[0], flip, flip], 32).draw(torch.full((64,), 40), torch.full((64,), 40), seed())
    assert not torch.equal(drawn["horizontal_flip"]["fired"], drawn["horizontal_flip-2"]["fired"])


def coordinate_pictures(n: int) -> Pictures:
    """Pictures whose red is 3 y, whose green is 3 x and whose blue is full."""
    y, x = torch.meshgrid(torch.arange(80), torch.arange(80), indexing="ij")
    return Pictures.from_list([torch.stack([3 * y, 3 * x, 0 * x + 255]).to(torch.uint8)] * n)


def test_locations_say_where_in_the_picture_each_pixel_came_from():
    """Against pictures that show their own coordinates, pushed through the same operations."""
    batch, maker = coordinate_pictures(60), ViewMaker(GEOMETRY, 96)
    view = maker.make(batch, seed(), want_locations=True)
    seen = view.images[:, :2] * 255 / 3
    inner = ((view.locations > 1) & (view.locations < 78)).all(
        dim=1, keepdim=True
    )  # borders are not resampled linearly
    assert inner.float().mean() > 0.9
    # A level is 1/3 px, so rounding alone makes 1/6.
    error = ((seen - view.locations).abs() * inner).amax(dim=(1, 2, 3))
    assert error.median() < 0.5 and error.max() < 1.0


def test_locations_follow_a_drawn_angle_and_stay_in_the_picture_outside_the_view():
    batch = coordinate_pictures(30)
    maker = ViewMaker([GEOMETRY[0], {"op": "rotate", "p": 1.0, "degrees": 45}], 96)
    view = maker.make(batch, seed(), want_locations=True)
    assert view.locations.min() > -0.51 and view.locations.max() < 79.51
    blue = view.images[:, 2:]
    assert (blue == 0).float().mean() > 0.05  # corners that the turn brought in
    whole = (blue > 1 - 1e-4) & ((view.locations > 1) & (view.locations < 78)).all(dim=1, keepdim=True)
    assert whole.float().mean() > 0.5
    assert ((view.images[:, :2] * 255 / 3 - view.locations).abs() * whole).max() < 1.0


def test_photometric_operations_leave_locations_alone_and_locations_are_made_only_where_wanted():
    batch = pictures()
    plain = ViewMaker(operations("simclr")[:1], 32).make(batch, seed(), want_locations=True)
    full = ViewMaker(operations("simclr", flip={"p": 0}), 32).make(batch, seed(), want_locations=True)
    assert torch.equal(plain.locations, full.locations)
    assert ViewMaker(operations("simclr"), 32).make(batch, seed()).locations is None


def test_the_result_has_the_dtype_asked_for_and_float32_arithmetic():
    batch, maker = pictures(), ViewMaker(operations("simclr"), 32)
    exact, short = (maker.make(batch, seed(), dtype=dtype).images for dtype in (torch.float32, torch.bfloat16))
    assert short.dtype == torch.bfloat16 and torch.equal(exact.bfloat16(), short)


def test_center_view_is_deterministic_and_normalised():
    batch = pictures()
    view = center_view(batch, 40, 256 / 224)
    assert torch.equal(view.images, center_view(batch, 40, 256 / 224).images)
    restored = normalised_back(view.images) * 255
    assert (restored - restored.round()).abs().max() < 1e-3 and restored.min() > -1 and restored.max() < 256


def test_parameters_arrive_on_another_device_unchanged():
    """`meta` has no values but takes the same way as a GPU: shapes and dtypes survive the packing."""
    batch, maker = pictures(4), ViewMaker(operations("dcl") + operations("simclr")[1:], 32)
    drawn = maker.draw(batch.heights, batch.widths, seed())
    moved = to_device(drawn, torch.device("meta"))
    for step, mine in drawn.items():
        for name, values in mine.items():
            assert (moved[step][name].shape, moved[step][name].dtype) == (values.shape, values.dtype)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", registry.TRANSFORMS)
def test_cpu_and_cuda_make_the_same_view_of_equal_draws(name):
    batch, maker = pictures(), ViewMaker(operations(name), 64)
    drawn = maker.draw(batch.heights, batch.widths, seed())
    here = maker.apply(batch, drawn, want_locations=True)
    there = maker.apply(batch, drawn, device="cuda", want_locations=True)
    on_card = Pictures(**{**vars(batch), "buffer": batch.buffer.cuda()})
    for view in (there, maker.apply(on_card, drawn, want_locations=True)):
        error = (normalised_back(view.images.cpu()) - normalised_back(here.images)).abs()
        assert error.max() < 8 / 255 and error.mean() < 0.01 / 255  # one level of the crop, at most, through the jitter
        assert (view.locations.cpu() - here.locations).abs().max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 5),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.integers(8, 70),
    name=st.sampled_from(list(registry.TRANSFORMS)),
)
def test_any_picture_makes_a_finite_view(n, height, width, size, name):
    batch = Pictures.from_list([torch.full((3, height, width), 7 * i, dtype=torch.uint8) for i in range(n)])
    assert ViewMaker(operations(name), size).make(batch, seed()).images.isfinite().all()

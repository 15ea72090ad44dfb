"""What a GPU runs compiled: one graph each, and the pixels of the operations that it stands for."""

import warnings

import pytest
import torch

from sslbench import registry
from sslbench.data.pack.read import Pictures
from sslbench.transforms.gpu import crop_and_operations
from sslbench.transforms.ops.blur import GaussianBlur
from sslbench.transforms.ops.color import ORDERS, steps_of
from sslbench.transforms.ops.crop import RandomResizedCrop
from sslbench.transforms.ops.resize import picture_by_picture, table_of
from sslbench.transforms.pipeline import ViewMaker, _one_thread

EVERYTHING = {  # all operations at once, the ones that the shipped defaults leave out too
    "kind": "simclr",
    "rotate": {"p": 0.5, "degrees": 30.0},
    "vertical_flip": {"p": 0.5},
    "solarize": {"p": 0.5},
}
COMPOSED = {
    "kind": "compose",
    "operations": [{"op": "random_resized_crop"}]
    + [{"op": op, "p": 0.6} for op in ("quarter_turns", "cutout", "gaussian_noise", "sobel")],
}


def pictures(n: int = 12) -> Pictures:
    drawn = torch.Generator().manual_seed(0)
    sizes = torch.randint(40, 70, (n, 2), generator=drawn).tolist()
    return Pictures.from_list([torch.randint(0, 256, (3, *s), dtype=torch.uint8, generator=drawn) for s in sizes])


def recipes() -> list:
    return [*({"kind": name} for name in registry.TRANSFORMS), EVERYTHING, COMPOSED]


def maker(recipe: dict, size: int = 40) -> ViewMaker:
    changes = {name: value for name, value in recipe.items() if name != "kind"}
    settings = registry.load(registry.TRANSFORMS[recipe["kind"]]).Settings.model_validate(changes)
    return ViewMaker([operation.model_dump() for operation in settings.branch(0)], size)


@pytest.mark.parametrize("backend", [None, "eager", "aot_eager"])
@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: f"{recipe['kind']}{len(recipe)}")
def test_every_transform_is_one_graph_with_the_pixels_of_its_operations(recipe, backend):
    views, photos = maker(recipe), pictures()
    drawn = views.draw(photos.heights, photos.widths, torch.Generator().manual_seed(1))
    steps = [(operation, drawn[step]) for step, operation in views.steps.items()]
    levels = views.crop.apply(photos, drawn["crop"], views.size).mul(255).round().to(torch.uint8)
    operations = list(views.steps.values())

    def whole(levels, parameters):
        return crop_and_operations.chain(operations, levels, parameters)

    if backend:
        torch._dynamo.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own
            whole = torch.compile(whole, fullgraph=True, dynamic=False, backend=backend)
            made = whole(levels, crop_and_operations.ready(steps, levels.device))
    else:
        made = whole(levels, crop_and_operations.ready(steps, levels.device))
    expected = levels.float() / 255
    for operation, parameters in steps:
        expected = operation.apply(expected, parameters)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", [None, "aot_eager"])
@pytest.mark.parametrize("size", [16, 32, 64, 96])
def test_the_crop_is_one_graph_and_bit_equal_to_torchs_kernel(size, backend):
    photos = pictures(20)
    crop = RandomResizedCrop((0.005, 1.0), (3 / 4, 4 / 3))
    boxes = crop.draw(photos.heights, photos.widths, torch.Generator().manual_seed(2))
    taps = crop_and_operations.taps_of(photos.max_height, size), crop_and_operations.taps_of(photos.max_width, size)

    def resized(buffer, table):
        return crop_and_operations.crop(buffer, table, *crop_and_operations.bands(table, taps, size))

    if backend:
        torch._dynamo.reset()
        resized = torch.compile(resized, fullgraph=True, dynamic=False, backend=backend)
    assert torch.equal(resized(photos.buffer, table_of(photos, boxes)), picture_by_picture(photos, boxes, size))


def test_orders_of_the_jitter_are_counted_as_they_are_listed():
    assert steps_of(torch.arange(len(ORDERS))).tolist() == [list(order) for order in ORDERS]


@pytest.mark.parametrize("size", [8, 33, 120])
def test_the_blur_by_shifts_is_the_blur_by_matrices(size):
    images, sigma = torch.rand(5, 3, size, size + 3), torch.tensor([0.1, 0.3, 1.0, 1.7, 2.0])
    blur = GaussianBlur(1.0, (0.1, 2.0))
    torch.testing.assert_close(
        blur.traced(images, {"sigma": sigma}), blur.change(images, {"sigma": sigma}), rtol=0, atol=2e-6
    )


def test_equal_recipes_share_a_graph_and_others_do_not():
    def graph(recipe, dtype=torch.float32):
        operations = list(maker(recipe).steps.values())
        return crop_and_operations.chain_graph(operations, dtype, torch.channels_last)

    assert graph({"kind": "simclr"}) is graph({"kind": "simclr"})
    assert graph({"kind": "simclr"}) is not graph({"kind": "simclr", "blur": {"p": 0.5, "sigmas": [0.1, 1.0]}})
    assert graph({"kind": "simclr"}) is not graph({"kind": "simclr"}, torch.bfloat16)


def test_where_compiling_fails_views_go_on_uncompiled_with_one_warning(monkeypatch):
    def broken(function, **_):
        def run(*_):
            raise RuntimeError("no compiler\nand a long trace")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    graph = crop_and_operations.Graph(lambda x: x + 1)
    with pytest.warns(UserWarning, match="going on uncompiled: RuntimeError: no compiler$"):
        assert graph(torch.ones(1)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert graph(torch.ones(1)) == 2


def test_images_made_by_graphs_are_the_views_of_the_cpu(monkeypatch):
    """The whole path of a GPU but the compiler, on the CPU."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(crop_and_operations, "_CHAINS", {})
    crop_and_operations.crop_graphs.cache_clear()
    views, photos = maker({"kind": "baseline"}), pictures()
    drawn = views.draw(photos.heights, photos.widths, torch.Generator().manual_seed(3))
    expected = views.apply(photos, drawn)
    steps = [(operation, drawn[step]) for step, operation in views.steps.items()]
    with _one_thread(photos.device):
        made = crop_and_operations.images_of(photos, drawn["crop"], 40, steps, torch.float32, torch.channels_last)
    crop_and_operations.crop_graphs.cache_clear()
    torch.testing.assert_close(made, expected.images, rtol=0, atol=2e-5)
    assert made.is_contiguous(memory_format=torch.channels_last)

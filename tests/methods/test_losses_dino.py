"""DINO against its paper: loss, center and temperatures written out in numpy float64 or by hand."""

import numpy as np
import pytest
import torch
from lightly.models.modules.heads import DINOProjectionHead
from torch import Tensor, nn

from sslbench.methods.dino.head import Head, WeightNormedLinear
from sslbench.methods.dino.model import Model, dino_loss, teacher_temperature
from sslbench.methods.dino.settings import Settings
from sslbench.training.optimizers import ema_momentum, momentum_parameters, update_momentum
from tests.methods.method_batches import build, make_batch

pytestmark = pytest.mark.parity

N, K = 6, 7
SMALL = {"hidden_dim": 16, "bottleneck_dim": 8, "out_dim": 12}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dino(seed: int = 0, **options: object) -> Model:
    return build("dino", "test_resnet", 32, SMALL | options, seed).train()


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


@pytest.mark.parametrize("views", [2, 4])
def test_the_loss_is_equation_3_over_pairs_of_different_views(views):
    student, teacher = [draw(N, K, seed=v) for v in range(views)], [draw(N, K, seed=10 + v) for v in range(2)]
    center = draw(K, seed=20)
    terms, entropies = [], []
    for t in range(2):
        for n in range(N):
            p_t = softmax((teacher[t][n].numpy() - center.numpy()) / 0.3)
            entropies.append(-(p_t * np.log(p_t)).sum())
            for s in range(views):
                if s != t:
                    terms.append(-(p_t * np.log(softmax(student[s][n].numpy() / 0.5))).sum())
    parts = dino_loss(student, teacher, center, 0.5, 0.3)
    assert parts["loss"].item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert parts["teacher_entropy"].item() == pytest.approx(np.mean(entropies), rel=1e-10)
    assert parts["divergence"].item() == pytest.approx(np.mean(terms) - np.mean(entropies), rel=1e-10)


def test_in_float32_at_the_papers_temperatures_the_loss_agrees_with_float64():
    student, teacher = [draw(N, 2048, seed=v) for v in range(3)], [draw(N, 2048, seed=10 + v) for v in range(2)]
    center = draw(2048, seed=20)
    exact = dino_loss(student, teacher, center, 0.1, 0.04)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = dino_loss([s.float() for s in student], [t.float() for t in teacher], center.float(), 0.1, 0.04)
    for name, value in parts.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), exact[name], rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_students_outputs_alone():
    student, teacher = ([draw(N, K, seed=s).requires_grad_() for s in seeds] for seeds in ((1, 2, 3), (4, 5)))
    center = draw(K, seed=6).requires_grad_()
    dino_loss(student, teacher, center, 0.1, 0.04)["loss"].backward()
    assert all(t.grad is None for t in teacher)
    assert all(s.grad.abs().sum() > 0 for s in student)
    targets, middle = [t.detach() for t in teacher], center.detach()
    assert torch.autograd.gradcheck(lambda *s: dino_loss(list(s), targets, middle, 0.1, 0.04)["loss"], student)


@pytest.mark.parametrize("peak", [0.0, 50.0], ids=["all prototypes equal", "one prototype takes all"])
def test_both_kinds_of_collapse_have_the_trivial_divergence_and_the_entropy_tells_which(peak):
    outputs = torch.zeros(N, 12, dtype=torch.float64)
    outputs[:, 3] = peak
    parts = dino_loss([outputs] * 2, [outputs] * 2, torch.zeros(12), 0.1, 0.04)
    trivial = dino().trivial_loss()
    assert parts[trivial["part"]].item() == pytest.approx(trivial["value"], abs=1e-6)
    assert parts["teacher_entropy"].item() == pytest.approx(0 if peak else np.log(12), abs=1e-6)


def test_the_center_is_equation_4_once_a_step_and_the_loss_sees_that_of_the_step_before():
    model = dino(center_momentum=0.9)
    expected = np.zeros(12)
    for step in range(3):
        batch = make_batch(model, n=5, seed=step)
        with torch.no_grad():
            outputs = [model.teacher_head(model.teacher_backbone(view.images)) for view in batch.views]
        model.before_step(step, 0)
        seen = model.center.clone()
        first = model.loss(batch)["loss"]
        assert torch.equal(model.center, seen)
        assert torch.equal(model.loss(batch)["loss"], first)  # a second part of the step, of the same pictures
        model.after_backward(step, 0)
        expected = 0.9 * expected + 0.1 * np.concatenate([o.double().numpy() for o in outputs]).mean(0)
        np.testing.assert_allclose(model.center.numpy(), expected, rtol=1e-4, atol=1e-6)
        assert model.fresh == []


def test_the_center_is_the_global_views_not_the_local_ones():
    with_local, without = dino(local_views=2), dino()
    batch = make_batch(with_local, n=4)
    for model, count in ((with_local, 4), (without, 2)):
        batch.views = batch.views[:count]
        model.loss(batch)
        model.after_backward(0, 0)
    assert torch.equal(with_local.center, without.center)
    assert with_local.center.abs().sum() > 0


def test_the_teachers_temperature_rises_linearly_and_stays():
    warm = Settings(warmup_teacher_temperature=0.04, teacher_temperature=0.07, warmup_temperature_epochs=4)
    by_hand = [0.04, 0.05, 0.06, 0.07, 0.07, 0.07]
    assert [teacher_temperature(warm, epoch) for epoch in range(6)] == pytest.approx(by_hand)
    authors = np.concatenate([np.linspace(0.04, 0.07, 30), np.full(20, 0.07)])
    long = warm.model_copy(update={"warmup_temperature_epochs": 30})
    assert [teacher_temperature(long, epoch) for epoch in range(50)] == pytest.approx(authors.tolist())
    assert [teacher_temperature(Settings(), epoch) for epoch in (0, 1, 100)] == [0.04, 0.04, 0.04]
    at_once = warm.model_copy(update={"warmup_temperature_epochs": 1})
    assert teacher_temperature(at_once, 0) == 0.07


def test_the_loss_takes_the_temperature_of_its_epoch():
    model = dino(warmup_teacher_temperature=0.02, teacher_temperature=0.5, warmup_temperature_epochs=3)
    batch = make_batch(model, n=4)
    entropies = []
    for batch.epoch in (0, 1, 2, 3):
        entropies.append(model.loss(batch)["teacher_entropy"].item())
    assert entropies[0] < entropies[1] < entropies[2] == entropies[3]


def test_the_teachers_momentum_follows_the_papers_half_cosine_from_0_996_to_1():
    recipe = {"ema_start": 0.996, "ema_end": 1.0}
    for step in (0, 1, 250, 500, 999):
        by_hand = 1 - (1 - 0.996) * (np.cos(np.pi * step / 1000) + 1) / 2
        assert ema_momentum(recipe, step, 1000) == pytest.approx(by_hand, rel=1e-12)


def test_the_teacher_starts_as_the_students_copy_head_included():
    for options in ({}, {"norm_last_layer": False, "head_batch_norm": True}):
        model = dino(**options)
        for student, teacher in model.momentum_pairs():
            for (name, p), (twin, q) in zip(student.named_parameters(), teacher.named_parameters(), strict=True):
                assert name == twin
                assert torch.equal(p, q)
                assert p.data_ptr() != q.data_ptr()
                assert not q.requires_grad
        features = torch.randn(4, model.backbone.num_features)
        assert torch.equal(model.head(features), model.teacher_head(features))


@pytest.mark.parametrize("norm_last_layer", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_with_equal_weights_the_head_is_lightlys(norm_last_layer, batch_norm):
    ours = Head(20, Settings(**SMALL, norm_last_layer=norm_last_layer, head_batch_norm=batch_norm))
    theirs = DINOProjectionHead(20, 16, 8, 12, batch_norm=batch_norm, norm_last_layer=norm_last_layer)
    theirs.layers.load_state_dict(ours.layers.layers.state_dict())
    theirs.last_layer.weight_v.data.copy_(ours.last.weight)
    assert isinstance(ours.last.length, nn.Parameter) == theirs.last_layer.weight_g.requires_grad
    x = torch.randn(9, 20)
    torch.testing.assert_close(ours(x), theirs(x))
    if not norm_last_layer:
        lengths = torch.rand(12, 1) + 0.5
        ours.last.length.data.copy_(lengths)
        theirs.last_layer.weight_g.data.copy_(lengths)
        torch.testing.assert_close(ours(x), theirs(x))


def test_a_normed_last_layer_has_rows_of_unit_length_whatever_its_weights():
    last = WeightNormedLinear(5, 7, learned_length=False)
    with torch.no_grad():
        last.weight.mul_(30)
    x = torch.randn(3, 5)
    unit = last.weight / last.weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(last(x), x @ unit.T)


@pytest.mark.parametrize("width", [512, 2048])
def test_over_a_resnets_features_the_head_starts_with_the_authors_deviation(width):
    torch.manual_seed(0)
    layers = [m for m in Head(width, Settings(head_batch_norm=False)).layers.modules() if isinstance(m, nn.Linear)]
    assert [m.weight.std().item() for m in layers] == pytest.approx([0.02] * 3, rel=0.02)
    assert all((m.bias == 0).all() for m in layers)


def test_the_teacher_is_published_unless_the_student_is_asked_for_and_both_are_watched():
    model = dino()
    with torch.no_grad():
        for parameter in model.backbone.parameters():  # else student and teacher are equal
            parameter += 0.1 * torch.randn_like(parameter)
    batch = make_batch(model, n=4)
    model.loss(batch)
    assert model.evaluated is model.teacher_backbone
    assert dino(publish="student").evaluated.state_dict().keys() == model.backbone.state_dict().keys()
    student = dino(publish="student")
    assert student.evaluated is student.backbone
    assert model.watched() == {"teacher": model.teacher_backbone}
    assert model.last_watched.keys() == {"teacher"}
    features = model.last_watched["teacher"]
    assert not features.requires_grad
    torch.testing.assert_close(features, model.teacher_backbone(batch.views[0].images))
    torch.testing.assert_close(model.last_features, model.backbone(batch.views[0].images).detach())
    assert (features - model.last_features).abs().max() > 0.01


def test_local_views_scale_with_the_input_and_only_the_student_sees_them():
    views = Settings(local_views=8, global_crop_scale=(0.14, 1)).views(224)
    assert [(v.role, v.size, v.crop_scale, v.branch) for v in views[:3]] == [
        ("global", 224, (0.14, 1), 0),
        ("global", 224, (0.14, 1), 1),
        ("local", 96, (0.05, 0.14), 0),
    ]
    assert len(views) == 10
    model = dino(local_views=3)
    sizes = {"student": [], "teacher": []}
    for name, network in (("student", model.backbone), ("teacher", model.teacher_backbone)):
        stem = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
        stem.register_forward_hook(lambda _, args, out, name=name: sizes[name].append(args[0].shape[-1]))
    model.loss(make_batch(model, n=4))
    assert sizes == {"student": [32, 32, 14, 14, 14], "teacher": [32, 32]}


def steps(model: Model, first: int, last: int) -> list[float]:
    losses = []
    for step in range(first, last):
        torch.manual_seed(step)
        model.before_step(step, step // 2)
        parts = model.loss(make_batch(model, n=6, seed=step))
        parts["loss"].backward()
        model.after_backward(step, step // 2)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        update_momentum(*momentum_parameters(model.momentum_pairs()), 0.9)
        losses.append(parts["loss"].item())
    return losses


def test_a_run_restored_in_the_middle_goes_on_bit_by_bit():
    through, halted, resumed = dino(local_views=1), dino(local_views=1), dino(seed=9, local_views=1)
    expected = steps(through, 0, 6)
    steps(halted, 0, 3)
    resumed.load_state_dict(halted.state_dict())
    assert steps(resumed, 3, 6) == expected[3:]
    assert torch.equal(resumed.center, through.center)

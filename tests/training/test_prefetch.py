"""Steps made ready ahead: the same steps, in whatever order they are asked for, and no thread left behind."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sslbench.data.pack.read import PackedSet, Pictures
from sslbench.training import dataloader as streaming
from sslbench.training.dataloader import Stream
from sslbench.training.device import Device
from sslbench.training.prefetch import Ahead, Prepared, Staging
from sslbench.transforms.spec import Grayscale, RandomResizedCrop
from tests.data.data_samples import make_folder, packed, settings_of

EPOCHS, BATCH = 3, 4


class FakeEvent:
    def __init__(self) -> None:
        self.waited = 0

    def record(self, _stream: object) -> None:
        pass

    def synchronize(self) -> None:
        self.waited += 1


class FakeStaging(Staging):
    """Staging without a GPU: the same two buffers, and a copy that is at once over."""

    made: "list[FakeStaging]" = []

    def __init__(self, device: torch.device, largest: int) -> None:
        self.largest, self.turn, self.emptied = largest, 0, [None, None]
        self.buffers = [torch.zeros(largest, dtype=torch.uint8) for _ in range(2)]
        self.sent, self.received = [], []
        self.made.append(self)

    def send(self, pictures: Pictures) -> tuple[Pictures, FakeEvent]:
        turn, self.turn = self.turn, 1 - self.turn
        if self.emptied[turn] is not None:
            self.emptied[turn].synchronize()
        mine = pictures.gathered(self.buffers[turn])
        self.emptied[turn] = FakeEvent()
        self.sent.append(threading.current_thread().name)
        return replace(mine, buffer=mine.buffer.clone()), self.emptied[turn]

    def decode(self, pack: PackedSet, indices: torch.Tensor) -> tuple[Pictures, FakeEvent]:
        pack.decode_on, there = torch.device("cpu"), pack.decode_on
        try:
            self.sent.append(threading.current_thread().name)
            return pack.batch(indices), FakeEvent()
        finally:
            pack.decode_on = there

    def receive(self, pictures: Pictures, sent: FakeEvent) -> None:
        self.received.append(sent)


@pytest.fixture
def pack(tmp_path: Path) -> PackedSet:
    return PackedSet.open(packed(settings_of("folder", path=make_folder(tmp_path)), tmp_path, pack_size=9))


def settings() -> dict:
    operations = [RandomResizedCrop().model_dump(), Grayscale(p=0.5).model_dump()]
    view = {"size": 8, "crop_scale": None}
    return {
        "seed": 3,
        "train": {"batch_size": BATCH, "epochs": EPOCHS},
        "transform": [operations, operations[:1]],
        "views": [view | {"branch": 0}, view | {"branch": 1}],
        "dataset": {"source": "folder", "split": "all"},
    }


def device() -> Device:
    return Device("cpu", {"precision": "fp32", "channels_last": True})


@pytest.fixture
def plain(pack: PackedSet) -> Stream:
    return Stream(pack, torch.arange(15).numpy(), settings(), device(), want_locations=True)


@pytest.fixture
def ahead(pack: PackedSet, monkeypatch: pytest.MonkeyPatch):
    """The stream as on a GPU that does not hold the pack; views are made on the CPU."""
    FakeStaging.made.clear()
    monkeypatch.setattr(streaming, "Staging", FakeStaging)
    where = device()
    where.torch = SimpleNamespace(type="cuda")
    made = Stream(pack, torch.arange(15).numpy(), settings(), where, want_locations=True)
    where.torch = torch.device("cpu")
    yield made
    made.close()


def views_of(stream: Stream, epoch: int, step: int, part: int = BATCH) -> list[torch.Tensor]:
    indices = stream.indices(epoch, step)
    drawn = stream.draw(epoch, step, indices)
    parts = [stream.views(indices, drawn, start, start + part) for start in range(0, BATCH, part)]
    return [torch.cat([getattr(p[i], what) for p in parts]) for i in (0, 1) for what in ("images", "locations")]


STEPS = [(epoch, step) for epoch in range(EPOCHS) for step in range(15 // BATCH)]


@pytest.mark.parametrize(
    "steps", [STEPS, STEPS[4:], STEPS[::-1], [STEPS[0], STEPS[5], STEPS[5]]], ids=["all", "resumed", "back", "jumps"]
)
@pytest.mark.parametrize("part", [BATCH, 2])
def test_steps_made_ahead_are_the_steps_made_on_demand_bit_for_bit(
    ahead: Stream, plain: Stream, steps: list[tuple[int, int]], part: int
) -> None:
    for epoch, step in steps:
        made, expected = views_of(ahead, epoch, step, part), views_of(plain, epoch, step, part)
        assert all(torch.equal(one, other) for one, other in zip(made, expected, strict=True))


def test_pictures_are_gathered_in_the_thread_once_a_step_and_waited_for_before_use(ahead: Stream) -> None:
    for epoch, step in STEPS:
        views_of(ahead, epoch, step, part=2)
    ahead.close()
    (staging,) = FakeStaging.made
    assert len(staging.sent) == len(STEPS), "a step was gathered twice, or one beyond the last"
    assert all(name.startswith("next-step") for name in staging.sent)
    assert len(staging.received) == 2 * len(STEPS)  # once a part
    assert staging.received[-1] is staging.received[-2] is staging.emptied[1 - staging.turn]
    assert sum(event.waited for event in dict.fromkeys(staging.received)) == len(STEPS) - 2  # before a buffer's reuse


def test_jpegs_decoded_on_the_gpu_are_decoded_ahead_and_once_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = packed(settings_of("folder", path=make_folder(tmp_path), encoding="jpeg"), tmp_path, pack_size=9)
    monkeypatch.setattr(streaming, "Staging", FakeStaging)
    where, jpegs = device(), PackedSet.open(folder)
    plain = Stream(PackedSet.open(folder), torch.arange(15).numpy(), settings(), where, want_locations=True)
    jpegs.decode_on = torch.device("cuda")
    where.torch = SimpleNamespace(type="cuda")
    ahead = Stream(jpegs, torch.arange(15).numpy(), settings(), where, want_locations=True)
    where.torch = torch.device("cpu")
    for epoch, step in STEPS:
        made, expected = views_of(ahead, epoch, step), views_of(plain, epoch, step)
        assert all(torch.equal(one, other) for one, other in zip(made, expected, strict=True))
    ahead.close()
    assert len(ahead._staging.sent) == len(STEPS) and all(n.startswith("next-step") for n in ahead._staging.sent)


def test_the_staging_buffers_hold_the_largest_batch_and_no_more(ahead: Stream, pack: PackedSet) -> None:
    sizes = sorted((pack.heights * pack.widths * 3)[:15].tolist())
    assert FakeStaging.made[0].largest == sum(sizes[-BATCH:])


def test_draws_for_other_pictures_than_the_steps_are_made_for_those(ahead: Stream, plain: Stream) -> None:
    other = torch.arange(BATCH)
    drawn, expected = ahead.draw(0, 0, other), plain.draw(0, 0, other)
    for one, two in zip(ahead.views(other, drawn, 0, BATCH), plain.views(other, expected, 0, BATCH), strict=True):
        assert torch.equal(one.images, two.images)


def test_nothing_is_made_ahead_on_a_cpu(plain: Stream) -> None:
    before = threading.active_count()
    views_of(plain, 0, 0)
    assert plain._ahead is None and threading.active_count() == before


class Broken(RuntimeError):
    pass


def test_what_the_thread_raises_is_raised_as_itself_where_its_step_is_asked_for() -> None:
    def prepare(epoch: int, step: int) -> Prepared:
        if step == 1:
            raise Broken("in the thread")
        return Prepared(torch.tensor([step]), [])

    ahead = Ahead(prepare)
    assert ahead.take((0, 0), (0, 1)).indices.tolist() == [0]
    with pytest.raises(Broken, match="in the thread"):
        ahead.take((0, 1), (0, 2))
    assert ahead.take((0, 2), None).indices.tolist() == [2]
    ahead.close()


def test_the_thread_ends_with_the_stream_even_in_the_middle_of_a_step() -> None:
    release, begun = threading.Event(), threading.Event()

    def prepare(epoch: int, step: int) -> Prepared:
        if step == 1:
            begun.set()
            release.wait(10)
        return Prepared(torch.tensor([step]), [])

    before = set(threading.enumerate())
    ahead = Ahead(prepare)
    ahead.take((0, 0), (0, 1))
    assert begun.wait(10)
    threading.Timer(0.05, release.set).start()
    ahead.close()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("next-step")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pictures_sent_ahead_to_a_gpu_are_the_same_pictures(pack: PackedSet) -> None:
    staging = Staging(torch.device("cuda"), int((pack.heights * pack.widths * 3).sum()))
    for indices in (torch.tensor([3, 0]), torch.arange(15), torch.tensor([14]), torch.tensor([2, 2, 9])):
        there, sent = staging.send(pack.batch(indices))
        staging.receive(there, sent)
        assert there.device.type == "cuda"
        assert all(torch.equal(there.picture(i).cpu(), pack.batch(indices).picture(i)) for i in range(len(indices)))

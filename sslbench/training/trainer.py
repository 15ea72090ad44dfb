"""One cell's training: the networks, the step, and the curve. It knows nothing of files, locks and signals."""

import math

import torch
from torch import Tensor

from sslbench import registry
from sslbench.config.models import left_out
from sslbench.data.pack.read import PackedSet
from sslbench.errors import UserError
from sslbench.methods.base import Batch, Method
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import gathered
from sslbench.nn.random import derived_seed
from sslbench.nn.sync_batchnorm import synchronise
from sslbench.training import optimizers
from sslbench.training.checkpoint import load_module_state, module_state
from sslbench.training.dataloader import Stream
from sslbench.training.device import Device, compile_backbones
from sslbench.training.monitor.ledger import Ledger
from sslbench.training.online_probe import OnlineProbe, holdout
from sslbench.training.process_group import average_gradients
from sslbench.transforms.pipeline import center_view

ONLINE = "online_top1"  # the curve's column of the online head's accuracy


def build_method(settings: dict, classes: int) -> Method:
    """Backbone and heads at their start, which depends on the seed and on nothing that ran before."""
    name = settings["method"]["name"]
    package = (registry.METHODS | registry.REFERENCES)[name]
    options = dict(settings["method"]["options"])
    if "classes" in options and options["classes"] is None:
        options["classes"] = classes
    torch.manual_seed(derived_seed(settings["seed"], "init"))
    chosen = settings["backbone"]
    backbone = Backbone(chosen["name"], chosen["options"], settings["input_size"], chosen.get("residual_gain"))
    method = registry.load(f"{package}.model").Model(backbone, options, settings["input_size"])
    if tasks := settings.get("auxiliary"):
        method = registry.load(registry.AUXILIARY)(method, tasks, settings["input_size"])
    return method


def check_shares(train: dict, world: int) -> None:
    """Raises UserError where the parts of a batch cannot be shared equally by ``world`` devices."""
    if train["batch_size"] % (train["accumulate"] * world):
        raise UserError(
            f"training.accumulate: {train['accumulate']} part(s) on {world} device(s) do not divide the batch of "
            f"{train['batch_size']}; change it, compute.devices or training.batch_size"
        )


def check_batch(method: Method, settings: dict, pictures: int, devices: int) -> None:
    """Raises UserError where ``method`` cannot learn from ``pictures`` in such batches on so many devices."""
    train, name = settings["train"], settings["method"]["name"]
    together = train["batch_size"] // train["accumulate"]
    if together < method.facts.min_batch:
        raise UserError(
            f"training.accumulate: {name} needs at least {method.facts.min_batch} pictures at a time, and "
            f"{train['batch_size']} in {train['accumulate']} parts leave {together}"
        )
    if refused := method.facts.refused(devices):
        raise UserError(f"compute.devices: {refused}")
    optimizers.require_gains(settings["recipe"], method.named_parameters())
    method.check_pictures(pictures, together, devices)


class Training:
    """A cell between two optimiser steps; ``advance`` makes the next one.

    Attributes:
        step: optimiser steps made so far.
        total_steps: of the whole run; 0 where there is nothing to train.
        rows: the curve, one dict per finished epoch.
    """

    def __init__(self, settings: dict, pack: PackedSet, device: Device, ledger: Ledger) -> None:
        self.settings, self.pack, self.device, self.ledger = settings, pack, device, ledger
        self.train, self.recipe, self.seed = settings["train"], settings["recipe"], settings["seed"]
        self.name = settings["method"]["name"]
        self.step = self.total_steps = self.steps_per_epoch = 0
        self.rows: list[dict] = []
        self.parts: list[str] = []
        self.sums: Tensor | None = None  # of the loss parts over the epoch so far, on the device, in float64
        self.watched: dict[str, Backbone] = {}  # column of the curve -> the network whose accuracy it follows
        self.probes: dict[str, OnlineProbe] = {}
        self.method = device.place(build_method(settings, len(pack.classes)))
        if self.train["epochs"] > 0:
            self._prepare()

    def _prepare(self) -> None:
        train = self.pack.split(self.settings["dataset"]["split"])["train"]
        self.stream = Stream(self.pack, train, self.settings, self.device, self.method.want_locations)
        self.steps_per_epoch = self.stream.steps_per_epoch
        self.total_steps = self.train["epochs"] * self.steps_per_epoch
        self.part_size = self.train["batch_size"] // self.train["accumulate"]
        check_batch(self.method, self.settings, len(train), self.device.world)
        options = self.method.options  # beside which a method has its default recipe
        options = options.model_copy(update={"recipe": options.recipe.model_construct(**self.recipe)})
        idle = options.without_effect(self.train["epochs"], self.total_steps, self.part_size)
        self.ledger.notes += [f"{option}: {why}" for option, why in idle.items()]
        self.ledger.notes += filter(None, [left_out(len(train), self.train["batch_size"])])
        if self.device.world > 1:
            synchronise(self.method)
        self.labels = torch.from_numpy(self.pack.labels)
        self.method.train()
        parts = self.method.parts()
        constant = [p for name in self.recipe["constant_lr"] for p in parts[name].parameters()]
        self.frozen = {name: list(parts[name].parameters()) for name in self.recipe["frozen_epochs"]}
        groups = optimizers.groups(self.recipe, self.method.parameters(), constant)
        self.optimizer = optimizers.build(self.recipe, groups)
        self.peak_lr = optimizers.peak_lr(self.recipe, self.train["batch_size"])
        self.online, self.momentum = optimizers.momentum_parameters(self.method.momentum_pairs())
        if self.momentum and self.recipe["ema_start"] is None:
            raise UserError(f"recipe.ema_start is missing: {self.name} has a momentum encoder; give a number in [0, 1]")
        if self.train["compile"] and (note := compile_backbones(self.method, self.device)):
            self.ledger.notes.append(note)
        # A method that trains on labels has seen those of the held-out pictures: its accuracy there would mean nothing.
        if self.name not in registry.REFERENCES:
            labels = self.pack.labels
            held = holdout(labels, train, self.train["holdout"], self.seed)
            if len(held):
                others = self.method.watched().items()
                self.watched = {ONLINE: self.method.backbone} | {f"{ONLINE}_{name}": net for name, net in others}
                classes = len(self.pack.classes)
                for column, network in self.watched.items():
                    self.probes[column] = OnlineProbe(network.num_features, classes, labels, held, self.device)

    def close(self) -> None:
        """End the stream's thread, if it has one."""
        if self.total_steps:
            self.stream.close()

    def lr(self, step: int) -> float:
        return self.peak_lr * optimizers.rate_factor(self.recipe, step, self.steps_per_epoch, self.total_steps)

    def advance(self) -> None:
        """One optimiser step; at the end of an epoch also its row of the curve.

        Raises:
            UserError: the loss is not finite. On a GPU this may be noticed some steps later, never after a checkpoint.
        """
        epoch, within = divmod(self.step, self.steps_per_epoch)
        with self.ledger.section("data"):
            indices = self.stream.indices(epoch, within)
            drawn = self.stream.draw(epoch, within, indices)
        # Dropout and the methods' own draws (shuffles, noise).
        torch.manual_seed(derived_seed(self.seed, "step", epoch, within))
        self.method.before_step(self.step, epoch)
        for part in range(self.train["accumulate"]):
            self._accumulate(epoch, indices, drawn, part)
        with self.ledger.section("step"):
            if self.device.world > 1:
                average_gradients(self.method.parameters())
            self.method.after_backward(self.step, epoch)
            self._freeze()
            optimizers.clip(self.method.parameters(), self.recipe)
            decay = optimizers.weight_decay(self.recipe, self.step, self.total_steps)
            optimizers.set_rates(self.optimizer, self.lr(self.step), decay, self.peak_lr)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.momentum:
                share = optimizers.ema_momentum(self.recipe, self.step, self.total_steps)
                optimizers.update_momentum(self.online, self.momentum, share)
        self.step += 1
        self.ledger.images += len(indices)
        self.ledger.views += len(indices) * len(self.settings["views"])
        if not self.device.cuda:
            self.mean_loss()  # costs nothing here: names the very step at which a loss stops being finite
        if within + 1 == self.steps_per_epoch:
            self._close(epoch)

    def _accumulate(self, epoch: int, indices: Tensor, drawn: list, part: int) -> None:
        """Gradients of one part of the step's pictures. Batch statistics and losses see one part at a time, so
        accumulation saves memory but is not the same training as the whole batch at once."""
        part_indices = indices[part * self.part_size : (part + 1) * self.part_size]
        start, stop = self.device.shard(part * self.part_size, (part + 1) * self.part_size)
        with self.ledger.section("augment"):
            views = self.stream.views(indices, drawn, start, stop)
        labels = None
        if self.name in registry.REFERENCES:
            labels = self.device.send(self.labels[indices[start:stop]])
        steps = {"step": self.step, "total_steps": self.total_steps, "steps_per_epoch": self.steps_per_epoch}
        batch = Batch(views=views, labels=labels, epoch=epoch, **steps)
        with self.ledger.section("step"):
            with self.device.autocast():
                losses = self.method.loss(batch)
            (losses["loss"].sum() / self.train["accumulate"]).backward()  # some losses have shape [1]
            self._add(losses)
        if self.probes and self.method.last_features is not None:
            others = {f"{ONLINE}_{name}": features for name, features in self.method.last_watched.items()}
            with self.ledger.section("evaluate"):
                for column, features in ({ONLINE: self.method.last_features} | others).items():
                    self.probes[column].learn(gathered(features), part_indices)

    def _freeze(self) -> None:
        """Drop the gradients of the parts that do not learn yet: no step, no decay and no momentum reaches them."""
        for name, parameters in self.frozen.items():
            if self.step < self.recipe["frozen_epochs"][name] * self.steps_per_epoch:
                for p in parameters:
                    p.grad = None

    def _add(self, losses: dict[str, Tensor]) -> None:
        if not self.parts:
            self.parts = ["loss", *(name for name in losses if name != "loss")]
        values = torch.stack([losses[name].detach().sum().double() for name in self.parts])
        self.sums = values if self.sums is None else self.sums + values

    def means(self) -> dict[str, float]:
        """Means of the loss parts over the epoch so far. Waits for the device.

        Raises:
            UserError: one of them is not finite.
        """
        if self.sums is None:
            return {}
        done = (self.step - 1) % self.steps_per_epoch + 1
        values = (self.sums / (done * self.train["accumulate"])).tolist()
        means = dict(zip(self.parts, values, strict=True))
        self.ledger.collect()
        if not math.isfinite(means["loss"]):
            epoch = (self.step - 1) // self.steps_per_epoch
            raise UserError(
                f"{self.name} diverged: its loss is {means['loss']} in epoch {epoch + 1}, by step {self.step} of "
                f"{self.total_steps} (learning rate {self.lr(self.step - 1):.4g}); lower recipe.base_lr, lengthen "
                "recipe.warmup_epochs or set recipe.clip_gradient_norm. The last checkpoint is kept"
            )
        return means

    def mean_loss(self) -> float:
        return self.means()["loss"]

    def _close(self, epoch: int) -> None:
        row = {"epoch": epoch + 1, "step": self.step, "lr": self.lr(self.step - 1), **self.means()}
        if self.momentum:
            row["ema"] = optimizers.ema_momentum(self.recipe, self.step - 1, self.total_steps)
        due = self.step == self.total_steps or (epoch + 1) % self.train["measure_every"] == 0
        for column, probe in self.probes.items():
            row[column] = None
            if due:
                with self.ledger.section("evaluate"):
                    row[column] = probe.measure(self.watched[column], self._held_out_images)
        row["images"] = self.step * self.train["batch_size"]
        self.rows.append(row)
        self.sums = None

    def _held_out_images(self, indices: Tensor) -> Tensor:
        pictures = self.pack.batch(indices).to(self.device.torch)
        view = center_view(pictures, self.settings["input_size"], device=self.device.torch)
        return view.images.contiguous(memory_format=self.device.memory_format)

    def state(self) -> dict:
        """Everything that the steps to come depend on, for a checkpoint."""
        self.means()  # a state that is no longer finite is not worth keeping
        return {
            "step": self.step,
            "method": module_state(self.method),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.rows,
            "parts": self.parts,
            "sums": self.sums,
            "probes": {column: probe.state() for column, probe in self.probes.items()},
        }

    def load(self, state: dict) -> None:
        self.step, self.rows, self.parts = state["step"], state["rows"], state["parts"]
        load_module_state(self.method, state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sums = None if state["sums"] is None else state["sums"].to(self.device.torch)
        for column, probe in self.probes.items():
            probe.load(state["probes"][column])

"""The config's `compute:`: where the grid runs, and what each of its jobs asks of a scheduler. No torch."""

import os
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from sslbench.errors import UserError
from sslbench.settings import Name, Positive, Strict, either

# As Slurm takes them, and safe in a shell. Several partitions are a comma-separated list: it takes the first free one.
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,-]*$")]
GPUS = either("it is a whole number from 0 up, or 'auto'")
Gpus = Annotated[Annotated[int, Field(ge=0)] | Literal["auto"], GPUS]

DeviceName = Annotated[
    Literal["auto", "cpu", "cuda"] | Annotated[str, StringConstraints(pattern=r"^cuda:\d+$")],
    either("it is auto, cpu, cuda, or cuda:<number> for one of several GPUs"),
]


class Override(Strict):
    """What one dataset's jobs of a rule ask for where it differs."""

    memory_mb: Positive | None = None
    minutes: Positive | None = None
    gpus: Gpus | None = None
    gpu_model: Label | None = None
    partition: Label | None = None


class Job(Strict):
    """What every job of one rule asks of a scheduler."""

    memory_mb: Positive = 4000  # MB of host memory
    minutes: Positive = 60  # run time limit
    gpus: Gpus = 0  # auto: one where the device is a GPU
    gpu_model: Label | None = None  # default: compute.gpu_model
    partition: Label | None = None  # default: that of compute.partitions
    datasets: dict[Name, Override] = {}


class Partitions(Strict):
    """Slurm partitions; null leaves the choice to the cluster."""

    gpu: Label | None = None  # of jobs that ask for a GPU
    cpu: Label | None = None  # of the others


class Jobs(Strict):
    """By rule. The other rules run where Snakemake was started."""

    pack: Job = Job(minutes=240)
    leaks: Job = Job(minutes=120)
    gallery: Job = Job(minutes=30)
    pretrain: Job = Job(memory_mb=16000, minutes=240, gpus="auto")
    embed: Job = Job(memory_mb=16000, gpus="auto")
    evaluate: Job = Job()
    labelfree: Job = Job(memory_mb=16000, gpus="auto")
    look: Job = Job(minutes=15)
    retrieve: Job = Job()
    adapt: Job = Job(minutes=120)
    finetune: Job = Job(memory_mb=16000, minutes=240, gpus="auto")
    export: Job = Job(memory_mb=8000, minutes=30)

    @field_validator("*", mode="before")
    @classmethod
    def _over_defaults(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[info.field_name or ""].default
        return default.model_dump() | value if isinstance(value, dict) else value

    def items(self) -> Iterator[tuple[str, Job]]:
        return ((rule, getattr(self, rule)) for rule in type(self).model_fields)


GROUPED = ("embed", "evaluate")  # one job of a cluster where compute.grouped says so


class Compute(Strict):
    """Where it runs. Nothing here changes a result beyond float rounding, and nothing here makes a result stale."""

    device: DeviceName = "auto"
    allow_cpu: bool = False  # let pretraining start where there is no GPU
    devices: Positive = 1  # that pretrain one cell together, an equal share of every batch each
    threads: Positive = 2  # per device of a pretraining on a CPU, and per evaluation
    # processes that decode pictures; auto: one per available core
    pack_jobs: Annotated[Positive | Literal["auto"], either("it is a whole number from 1 up, or 'auto'")] = "auto"
    placement: Literal["auto", "device", "pinned", "mapped"] = "auto"  # where packed pixels live
    views: Literal["auto", "native", "eager"] = "auto"  # how they are made on a CPU: compiled C, or torch's operations
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5
    share_imports: bool = True  # local jobs fork from one process that has imported torch (import_server/client.py)
    tensorboard: bool = False  # learning curves into logs/tensorboard as well
    jobs: Jobs = Jobs()  # asked of a scheduler, by rule
    partitions: Partitions = Partitions()  # Slurm's
    account: Label | None = None  # Slurm's; null: the user's default one
    gpu_model: Label | None = None  # asked for with every GPU, as the cluster calls it
    grouped: bool = True  # a cell's features and its probe are one job of a cluster, on embed's partition

    def packing_jobs(self) -> int:
        """``pack_jobs`` as a number: with ``auto``, that of the cores that this process may run on."""
        if self.pack_jobs != "auto":
            return self.pack_jobs
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def check_devices(self) -> None:
        """Raises UserError where a pretraining on several GPUs would ask a scheduler for fewer."""
        if self.device == "cpu" or self.devices == 1:
            return
        job = self.jobs.pretrain
        named = {"": job.gpus} | {f".datasets.{name}": own.gpus for name, own in job.datasets.items()}
        for where, gpus in named.items():
            # With auto the device may turn out to be the CPU, for which 0 is right.
            if isinstance(gpus, int) and (self.device == "auto") <= gpus < self.devices:
                raise UserError(
                    f"config: compute.jobs.pretrain{where}.gpus is {gpus}, and compute.devices is {self.devices}: set "
                    f"it to auto, or to {self.devices}"
                )

    def asked(
        self, rule: str, dataset: str, device: str, devices: int = 1, local: bool = False
    ) -> dict[str, int | str | None]:
        """Snakemake's resources of one job.

        Args:
            rule: one of Jobs.
            dataset: whose pictures it works on.
            device: ``cpu`` or ``cuda``, what ``device`` stands for here.
            devices: how many the job computes on.
            local: whether Snakemake runs jobs itself, where nothing is grouped.

        Returns:
            mem_mb, runtime (minutes), gpu, and what only Slurm reads, None where nothing is asked for: gpu_model,
            slurm_partition, slurm_account.
        """
        job = self._job(rule, dataset)
        # Jobs of one group must agree in what is a name, and a model of no GPUs is none.
        leading = self._job("embed", dataset) if self.grouped and rule in GROUPED and not local else job
        gpus = devices * (device == "cuda") if leading.gpus == "auto" else leading.gpus
        return {
            "mem_mb": job.memory_mb,
            "runtime": job.minutes,
            "gpu": gpus,
            "gpu_model": (leading.gpu_model or self.gpu_model) if gpus else None,
            "slurm_partition": leading.partition or (self.partitions.gpu if gpus else self.partitions.cpu),
            "slurm_account": self.account,
        }

    def _job(self, rule: str, dataset: str) -> Job:
        job = getattr(self.jobs, rule)
        override = job.datasets.get(dataset.partition("@")[0], Override())  # of all parts of a divided dataset
        return job.model_copy(update=override.model_dump(exclude_none=True))


RESOURCES = ("mem_mb", "runtime", "gpu", "gpu_model", "slurm_partition", "slurm_account")

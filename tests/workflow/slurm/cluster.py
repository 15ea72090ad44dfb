"""A real Slurm of one node: munged, slurmctld and slurmd, with all their state below one folder. Needs root.

By hand: ``python -m tests.workflow.slurm.cluster start FOLDER``, then ``. FOLDER/environment``; ``... stop FOLDER``
ends it. Nothing under /etc is read or written, ports are free ones: several can run side by side. Without systemd and
cgroups, so memory limits are not enforced, and without a database, so that `sacct` knows nothing. GPUs are device files
that only Slurm counts. Debian's packages: munge, slurm-wlm.
"""

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
PATIENCE = 30.0  # seconds until the node must be idle, and for a daemon to end
KILL_WAIT = 15  # seconds from a time limit's SIGTERM to its SIGKILL; Slurm's default is 30

SETTINGS = """\
ClusterName=sslbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
# squeue must still know a job that ended between two looks at it.
MinJobAge=600
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
# Slurm looks for what can start every half minute by default.
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
KillWait={kill_wait}
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:drawn:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=02:00:00 State=UP
PartitionName=gpu Nodes={host} MaxTime=02:00:00 State=UP
"""


def lacking() -> str:
    """Why no cluster can be started here, or nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        return f"{', '.join(missing)} not installed (on Debian: apt-get install munge slurm-wlm)"
    return "" if os.geteuid() == 0 else "starting Slurm needs root"


class Cluster:
    """Started by ``with Cluster(folder)``, where ``folder`` has a short path (it holds sockets) and is ours alone."""

    def __init__(self, folder: Path, gpus: int = 2) -> None:
        self.folder, self.gpus = folder.resolve(), gpus
        self.environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}:/usr/sbin",
        }

    def __enter__(self) -> "Cluster":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Raises RuntimeError, with the daemons' logs, if no node is idle in time."""
        for name in ("", "munge", "state", "spool", "bin"):
            (self.folder / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        self._settings()
        munge, host = self.folder / "munge", socket.gethostname().split(".")[0]
        (munge / "key").write_bytes(secrets.token_bytes(1024))
        (munge / "key").chmod(0o400)
        files = {"key": "key", "socket": "socket", "pid": "pid", "log": "log", "seed": "seed"}
        self._call(
            "munged",
            "--force",
            *(f"--{k}-file={munge / v}" for k, v in files.items() if k != "socket"),
            f"--socket={munge / 'socket'}",
        )
        self._call("slurmctld", "-c", "-f", str(self.folder / "slurm.conf"))
        self._call("slurmd", "-N", host, "-f", str(self.folder / "slurm.conf"))
        deadline = time.monotonic() + PATIENCE
        while self.ask("sinfo", "--noheader", "--format=%T") != "idle":
            if time.monotonic() > deadline:
                logs = "\n".join(f"{log}:\n{log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))
                raise RuntimeError(f"Slurm's node is not idle after {PATIENCE:.0f} s.\n{logs}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the daemons that this folder's pid files name, and what they run."""
        if (self.folder / "slurmctld.pid").exists():
            self.ask("scancel", "--full", "--user=root")
        for file in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            path = self.folder / file
            pid = int(path.read_text()) if path.exists() and path.read_text().strip() else None
            running = Path(f"/proc/{pid}/cmdline")
            if running.exists() and str(self.folder) in running.read_text():
                os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + PATIENCE
                while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                    time.sleep(0.05)

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def history(self) -> list[dict[str, str]]:
        """Every job so far, in the order of submission: what (the rule and its wildcards) and what it asked for."""
        fields = {
            "id": "JobId", "what": "Comment", "state": "JobState", "partition": "Partition", "limit": "TimeLimit",
            "memory": "MinMemoryNode", "gpus": "TresPerJob", "started": "StartTime", "ended": "EndTime",
        }  # fmt: skip
        jobs = []
        for line in self.ask("scontrol", "show", "jobs", "--oneliner").splitlines():
            values = dict(word.split("=", 1) for word in line.split() if "=" in word)
            jobs.append({name: values.get(key, "") for name, key in fields.items()})
        return sorted((job for job in jobs if job["id"]), key=lambda job: int(job["id"]))

    def _settings(self) -> None:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            ports = {"controller": one.getsockname()[1], "node": two.getsockname()[1]}
        host = socket.gethostname().split(".")[0]
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 * 9 // 10
        text = SETTINGS.format(
            **ports,
            host=host,
            folder=self.folder,
            memory=memory,
            cores=os.cpu_count(),
            gpus=self.gpus,
            kill_wait=KILL_WAIT,
        )
        (self.folder / "slurm.conf").write_text(text)
        devices = [self.folder / f"gpu{number}" for number in range(self.gpus)]
        for device in devices:
            if not device.exists():
                os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # a second /dev/null
        gres = [f"NodeName={host} Name=gpu Type=drawn File={device}\n" for device in devices]
        (self.folder / "gres.conf").write_text("".join(gres))
        # The executor's jobstep takes every SLURM_* variable, SLURM_CONF with them, from the srun that it starts.
        srun = self.folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        exports = "".join(f"export {name}='{value}'\n" for name, value in self.environment.items())
        (self.folder / "environment").write_text(exports)

    def _call(self, *command: str) -> None:
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    verb, folder = sys.argv[1:]
    if verb == "start" and lacking():
        sys.exit(lacking())
    getattr(Cluster(Path(folder)), {"start": "start", "stop": "stop"}[verb])()

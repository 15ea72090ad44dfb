"""What a disk lacks is named."""

import os
import subprocess

import pytest

from sslbench.runtime.files import full_disk


def test_a_disk_without_space_and_one_without_inodes_are_named_each(tmp_path):
    """A real small disk in memory, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    try:
        with pytest.raises(OSError) as refused:
            for number in range(30):
                (disk / str(number)).touch()
        assert "no inodes left below" in str(full_disk(disk / "packed", "packing"))
        (disk / "0").unlink()
        with pytest.raises(OSError) as full, (disk / "0").open("wb") as file:
            file.write(bytes(2 << 20))
        assert "no disk space left below" in str(full_disk(disk / "packed", "packing"))
        assert refused.value.errno == full.value.errno  # the system says one thing of both
    finally:
        subprocess.run(["umount", str(disk)], check=True)

"""What is shown while a cell trains: a moving line for a terminal, few lines for a log, and true figures in both."""

import io
import re

import pytest

from sslbench.training.monitor import progress
from sslbench.training.monitor.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def time_passes(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def tick(seconds: float) -> None:
        now[0] += seconds

    return tick


def test_times_read_like_a_clock():
    assert [clock(s) for s in (0, 59.6, 75, 3700, 90000)] == ["0:00", "1:00", "1:15", "1:01:40", "25:00:00"]


def test_a_log_gets_a_line_every_half_minute_and_a_last_one(time_passes):
    log = io.StringIO()
    shown = Progress("simclr", log, terminal=io.StringIO())
    shown.start(0, total_steps=1000, epochs=10, batch_size=64)
    for step in range(1, 1001):
        time_passes(0.1)
        if shown.due() or step == 1000:
            shown.show(step, 1.5)
    lines = log.getvalue().splitlines()
    assert len(lines) == 4 and "\r" not in log.getvalue()
    assert lines[0] == "simclr: epoch 4/10  loss 1.5000  640 images/s  1:10 left"
    assert lines[-1].endswith("0:00 left") and "epoch 10/10" in lines[-1]


def test_rates_of_a_resumed_run_count_from_where_it_goes_on(time_passes):
    log = io.StringIO()
    shown = Progress("simclr", log, terminal=io.StringIO())
    time_passes(500)  # set-up
    shown.start(900, total_steps=1000, epochs=10, batch_size=10)
    time_passes(40)
    shown.show(920, 0.0)
    assert "5 images/s" in log.getvalue() and "2:40 left" in log.getvalue()


def test_a_terminal_gets_one_moving_line_and_the_log_stays_clean(time_passes):
    log, terminal = io.StringIO(), Terminal()
    shown = Progress("byol", log, terminal=terminal)
    shown.start(0, total_steps=100, epochs=2, batch_size=8)
    for step in range(1, 51):
        time_passes(0.5)
        if shown.due():
            shown.show(step, 2.0)
    shown.say("checkpoint written")
    shown.clear()
    assert terminal.getvalue().count("\r\033[K") == 26 and "\n" not in terminal.getvalue()
    last = terminal.getvalue().split("\r\033[K")[-2]
    assert re.fullmatch(r"byol █{10}·{10} epoch 2/2  loss 2\.0000  16 images/s  0:25 left", last)
    assert terminal.getvalue().endswith("\r\033[K"), "the bar was left standing"
    assert log.getvalue() == "byol: checkpoint written\n"

"""Learning rate and remaining time as functions of the wall clock, not of a step count.

Why: the machine is shared, its speed varies several-fold, and the run must end at a given minute fully annealed.
"""
from __future__ import annotations

import datetime
import time
from dataclasses import dataclass


def parse_deadline(hours: float, until: str) -> float:
    """Unix time of the end of training: `until` is HH:MM today (local time), else `hours` from now."""
    if not until:
        return time.time() + 3600 * hours
    hour, minute = (int(x) for x in until.split(":"))
    return datetime.datetime.now().replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()


@dataclass
class WallClockSchedule:
    """Warm-up over the first steps, constant, then linear to zero over the last `decay` share of the time."""

    start: float
    end: float
    decay: float
    warmup_steps: int

    def progress(self) -> float:
        return min(1.0, max(0.0, (time.time() - self.start) / max(1.0, self.end - self.start)))

    def annealing(self) -> bool:
        return self.progress() > 1.0 - self.decay

    def factor(self, step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return warm * min(1.0, (1.0 - self.progress()) / self.decay)

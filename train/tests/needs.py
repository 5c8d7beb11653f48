"""Skips that say why: the tests of `train` need Python packages that building and running Tessera does not."""
from __future__ import annotations

import importlib.util
import unittest
from typing import Callable


def needs(*packages: str) -> Callable:
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    return unittest.skipIf(bool(missing), f"not installed: {', '.join(missing)}")

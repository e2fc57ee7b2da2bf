"""The fingerprint of the machine at hand.

The script that measures other devices contains this file, so it needs Python 3.8 only.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Mapping


def processor_name() -> str:
    """Name of the processor as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine_fingerprint() -> dict[str, str]:
    """What tells this machine from another: processor, architecture, cores, system."""
    return {
        "processor": processor_name(),
        "architecture": platform.machine(),
        "cores": str(os.cpu_count() or 0),
        "system": platform.system(),
    }


def differences(machine: Mapping[str, str]) -> str:
    """In what this machine differs from one with the fingerprint `machine`; empty where it is the same."""
    here = machine_fingerprint()
    changed = [key for key in here if machine.get(key) != here[key]]
    return "; ".join(f"{key} {machine.get(key)!r} there, {here[key]!r} here" for key in changed)

"""Write measured figures into docs/benchmarks.md, between their markers."""

import os
import platform
from importlib import metadata
from pathlib import Path

from experiments.shares import with_section

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PACKAGES = ("numpy", "scipy", "numba", "clarabel")


def write_section(marker: str, body: str, page: Path = PAGE) -> None:
    """Replace what stands between the two lines of a marker."""
    text = page.read_text(encoding="utf-8")
    page.write_text(with_section(text, marker, body, page.name), encoding="utf-8")


def machine() -> str:
    """One sentence: processor, cores, versions."""
    return (
        f"Measured on {processor()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, " + ", ".join(map(version, PACKAGES)) + "."
    )


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"

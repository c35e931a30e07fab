"""What must hold before any test runs."""

from pathlib import Path

import pintext


def pytest_configure() -> None:
    """Forget compiled kernels that are older than some source.

    Numba looks only at the file of the kernel itself; a constant or a kernel that it takes from
    another module may have changed since.
    """
    package = Path(pintext.__file__).parent
    newest = max(source.stat().st_mtime for source in package.rglob("*.py"))
    for kernel in package.rglob("__pycache__/*.nb[ci]"):
        if kernel.stat().st_mtime < newest:
            kernel.unlink(missing_ok=True)

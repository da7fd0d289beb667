"""Large libraries, imported on first use and quietly; what breaks in them ends in one sentence."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from ...errors import SCEditError, shown

# Raised by importing a library that is missing, or does not fit the numpy, timm or torch beside it.
_BROKEN = (AttributeError, ImportError, OSError, RuntimeError, TypeError, ValueError)


def load_library(module: str, package: str) -> ModuleType:
    """A module, such as `controlnet_aux.hed`, of the package that pip knows as `package`.

    Raises SCEditError with the remedy where it cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except _BROKEN as error:
        raise SCEditError(
            f"{package} cannot be imported ({shown(str(error))}); install it into ComfyUI's Python with "
            f"'pip install -U {package}' and start ComfyUI again"
        ) from error

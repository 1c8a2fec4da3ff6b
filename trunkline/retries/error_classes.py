"""Which exception classes make a failure permanent: no retry helps."""

from __future__ import annotations

import builtins
import difflib
import importlib
from types import ModuleType
from typing import Literal

from trunkline.errors import ConfigurationError, InvalidEventError, Permanent

ErrorClasses = tuple[type[BaseException], ...]
FailureKind = Literal["permanent", "transient"]

#: Permanent whatever a policy says.
ALWAYS_PERMANENT: ErrorClasses = (Permanent, InvalidEventError)
#: How far ``raise … from …`` is followed; also what ends a cycle.
_MAX_CAUSES = 20


def kind_of(
    error: BaseException, permanent: ErrorClasses = (), transient: ErrorClasses = ()
) -> FailureKind:
    """Tell whether a retry may help.

    The error and then its causes (``__cause__``, at most 20 deep) are looked up, the outermost
    one that a list names decides, and what no list names is transient. An error that both lists
    name by its base classes is what the nearest one says, so that ``OSError`` may be permanent
    and ``ConnectionError`` transient.
    """
    if error.__cause__ is None and not permanent and not transient:
        return "permanent" if isinstance(error, ALWAYS_PERMANENT) else "transient"
    seen: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if seen is None:
            break
        if isinstance(seen, ALWAYS_PERMANENT):
            return "permanent"
        for base in type(seen).__mro__:
            if base in permanent:
                return "permanent"
            if base in transient:
                return "transient"
        seen = seen.__cause__
    return "transient"


def import_error_class(name: str) -> type[BaseException]:
    """Import an exception class by its dotted name; one without a dot is Python's own.

    Raises:
        ConfigurationError: It cannot be imported, or is no exception class.

    """
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigurationError("is no dotted name of a class, such as 'myapp.errors.CardRefused'")
    if len(parts) == 1:
        return _exception_in(builtins, parts, name)
    for length in range(len(parts) - 1, 0, -1):
        if module := _import_module(".".join(parts[:length])):
            return _exception_in(module, parts[length:], name)
    raise ConfigurationError(
        f"cannot be imported: there is no module {parts[0]!r}; check the name, and that the module "
        "is installed or in the working folder"
    )


def _import_module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a parent that is none ("app.errors" where app.py is a file).
        if error.name is not None and (name + ".").startswith(error.name + "."):
            return None
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(module: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be imported: module {module!r} failed with {type(error).__name__}: {error}"
    )


def _exception_in(module: ModuleType, path: list[str], name: str) -> type[BaseException]:
    found: object = module
    for part in path:
        owner = found
        found = getattr(owner, part, None)
        if found is None:
            raise ConfigurationError(f"does not exist{_hint(owner, part, name)}")
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ConfigurationError("is no exception class; name one that a handler raises")
    return found


def _hint(owner: object, missing: str, name: str) -> str:
    known = [key for key, value in vars(owner).items() if isinstance(value, type)]
    close = difflib.get_close_matches(missing, known, n=1)
    if close:
        return f". Did you mean {(name.removesuffix(missing) + close[0])!r}?"
    if owner is builtins:
        return "; name a class with its module, such as 'myapp.errors.CardRefused'"
    return f"; {getattr(owner, '__name__', owner)!r} has nothing of this name"

"""Compile kernels with numba, once for each machine and user.

The machine code of a kernel is kept in `$XDG_CACHE_HOME/lsbatch/kernels` (`~/.cache` without the variable), and other
processes load it from there. Where the folder cannot be used, each process compiles its kernels itself.

numba's own cache (`cache=True`) is not used. With numba 0.68 it gives wrong results: two processes that compile two
types at once can exchange their machine code (it writes the index before the file that the index names), and symbols of
two processes can be equal (`make_symbols_unique`). It ends the process on a damaged file, compiles kernels in closures
again in each process, and does not notice that a kernel in another module has changed.
"""

import hashlib
import itertools
import os
import pickle
import secrets
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

import numpy as np
from numba import njit
from numba.core import sigutils, types
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from lsbatch.kernels.compilation import files

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@overload
def kernel(function: Callable[Parameters, Result], /) -> "Dispatcher[Callable[Parameters, Result]]": ...


@overload
def kernel(**options: Any) -> "Callable[[Callable[Parameters, Result]], Dispatcher[Callable[Parameters, Result]]]": ...


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function when it is first called; it runs without the interpreter's lock.

    Used as `@kernel` or `@kernel(error_model="numpy")`. Global variables of the function must follow from the sources
    of `lsbatch.kernels` alone, because the machine code contains their values.

    Parameters
    ----------
    function : function
    **options
        Options of `numba.njit`.

    Returns
    -------
    The compiled function, or a decorator if only options are given.
    """
    if function is None:
        return lambda later: kernel(later, **options)
    compiled = njit(nogil=True, **options)(function)
    if isinstance(compiled, Dispatcher):  # a plain function under NUMBA_DISABLE_JIT
        compiled._cache = CompiledKernels(function)  # type: ignore[attr-defined]
    return compiled


class CompiledKernels(_Cache):
    """The machine code of one kernel: a file for each combination of types and of values from enclosing functions."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @property
    def cache_path(self) -> str | None:
        """Folder of the files; None if there is none."""
        return files.path()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the machine code for a signature, or return None."""
        key = self._key(sig)
        content = None if key is None else files.read(_file_name(key))
        if content is None:
            return None
        target_context.refresh()
        stored, reduced = pickle.loads(content)
        # two signatures may have the same text
        return CompileResult._rebuild(target_context, *reduced) if stored == key else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store the result of a compilation."""
        key = self._key(sig)
        # code with addresses of this process is of no use to another
        if key is not None and not data.library.has_dynamic_globals:
            files.write(_file_name(key), dumps((key, data._reduce())))

    def enable(self) -> None:
        """Do nothing; part of numba's interface."""

    def disable(self) -> None:
        """Do nothing; part of numba's interface."""

    def flush(self) -> None:
        """Do nothing; part of numba's interface."""

    def _key(self, sig: Any) -> tuple[str, Any] | None:
        arguments, result = sigutils.normalize_signature(sig)
        # a function as an argument has no name that holds in another process
        if any(isinstance(each, types.Callable) for each in arguments):
            return None
        return _identity(self._function), (arguments, result)


def _file_name(key: tuple[str, Any]) -> str:
    module, name, _ = key[0].split(":", 2)
    digest = hashlib.sha256(str(key).encode()).hexdigest()[:32]
    return f"{module.removeprefix('lsbatch.kernels.')}.{name.split('.')[-1]}-{digest}"


def _identity(function: Callable[..., Any]) -> str:
    """Name a function, with all values that it takes from enclosing functions: also other kernels, with theirs."""
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    values = [f"{name}={_cell_identity(cell.cell_contents)}" for name, cell in cells]
    return f"{function.__module__}:{function.__qualname__}:{code.co_firstlineno}({', '.join(values)})"


def _cell_identity(value: Any) -> str:
    if isinstance(value, Dispatcher):
        return _identity(value.py_func)
    if isinstance(value, (bool, int, float, str, np.generic)):
        return f"{type(value).__name__}:{value!r}"
    raise TypeError(f"a kernel cannot use a {type(value).__name__} of an enclosing function; pass it as an argument")


def make_symbols_unique() -> None:
    """Number the symbols of this process from a random number.

    numba numbers them from 1 in every process. Loaded from two processes, different functions of one name and type then
    have one symbol, and a kernel that calls the second runs the first (measured with numba 0.68).
    """
    FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))


make_symbols_unique()
os.register_at_fork(after_in_child=make_symbols_unique)

"""The process of a package: it imports the folder and serves its functions to the agent."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import inspect
import os
import pathlib
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from .._communicator import Communicator
from .._connection import Context
from .._errors import ErrorCode, Fault, RpcError
from ._frame import Functions, HostsPrx
from ._msgpack import FormatError, is_dict, is_list, pack, unpack

ENDPOINT = "TCE_FRAME_ENDPOINT"
TOKEN = "TCE_FRAME_TOKEN"
SOURCE = ".source"
"""The name by which the agent asks for the source text of a function. No function has a dot."""
MAX_TEXT = 8 << 10
"""The most characters of an error with its traceback: what a RETURN carries."""


class PackageError(Exception):
    """The package can't be loaded."""


def load(folder: pathlib.Path, base: str, names: list[str]) -> dict[str, Callable[..., Any]]:
    """Imports the folder as a module by its own name; returns its functions by `base__name`.

    Raises `PackageError`.
    """
    sys.path.insert(0, str(folder.parent))
    path = folder / "__init__.py"
    try:
        module = _module(folder, path)
    except PackageError:
        raise
    except BaseException as error:
        # SystemExit, too: the code has ended the program while it was imported.
        raise PackageError(_described(error)) from None
    functions: dict[str, Callable[..., Any]] = {}
    for name in names:
        function = getattr(module, name, None)
        if not callable(function):
            raise PackageError(f"`{path}` has no function `{name}`")
        functions[f"{base}__{name}"] = function
    return functions


def _module(folder: pathlib.Path, path: pathlib.Path) -> ModuleType:
    # By its path: a name such as `calculate-2` is no identifier, and no installed module may take
    # its place.
    name = folder.name
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not path.is_file():
        raise PackageError(f"`{path}` is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _described(error: BaseException) -> str:
    """Type, text and traceback, without the frames up to the last one of this file."""
    frames = frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == __file__:
            frames = frame.tb_next
        frame = frame.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}: {error}\n{text}"[:MAX_TEXT]


class FunctionsImpl(Functions):
    """The functions of the package. Those that are no coroutines run in threads, `concurrency` at
    once."""

    def __init__(self, functions: dict[str, Callable[..., Any]], concurrency: int) -> None:
        self._functions = functions
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="tce-frame")
        self._permits = asyncio.Semaphore(concurrency)

    async def call(self, name: str, arguments: bytes, ctx: Context) -> bytes:
        """Runs a function."""
        args, kwargs = self._arguments(name, arguments)
        if name == SOURCE:
            return pack(self._source(*args))
        function = self._function(name)
        async with self._permits:
            try:
                if inspect.iscoroutinefunction(function):
                    result = await function(*args, **kwargs)
                else:
                    loop = asyncio.get_running_loop()
                    result = await loop.run_in_executor(
                        self._threads, lambda: function(*args, **kwargs)
                    )
            except BaseException as error:
                # A SystemExit of a function ends the call, not the process.
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise Fault(_described(error)) from None
        try:
            return pack(result)
        except (TypeError, ValueError) as error:
            raise Fault(f"{name} has returned what can't be sent: {error}") from None

    def _function(self, name: str) -> Callable[..., Any]:
        function = self._functions.get(name)
        if function is None:
            raise Fault(f"there is no function `{name}`", ErrorCode.INTERFACE_NOTFOUND)
        return function

    def _source(self, name: str) -> str:
        try:
            return inspect.getsource(self._function(name))
        except (OSError, TypeError) as error:
            raise Fault(f"the source of `{name}` can't be read: {error}") from None

    @staticmethod
    def _arguments(name: str, arguments: bytes) -> tuple[list[Any], dict[str, Any]]:
        try:
            values = unpack(arguments)
        except FormatError as error:
            raise Fault(f"the arguments of {name}: {error}", ErrorCode.UNSERIALIZE_FAILED) from None
        if is_list(values) and len(values) == 2:
            args, kwargs = values
            if is_list(args) and is_dict(kwargs) and all(isinstance(key, str) for key in kwargs):
                return args, kwargs
        text = f"the arguments of {name} are not a list and a dict with the names of parameters"
        raise Fault(text, ErrorCode.UNSERIALIZE_FAILED)


async def serve(arguments: argparse.Namespace) -> int:
    """Serves until the connection to the agent ends."""
    endpoint, token = os.environ.pop(ENDPOINT), os.environ.pop(TOKEN)
    problem, functions = "", dict[str, Callable[..., Any]]()
    folder = pathlib.Path(arguments.package)
    names = [name for name in arguments.functions.split(",") if name]
    try:
        functions = load(folder, arguments.base, names)
    except PackageError as error:
        problem = str(error)
    async with Communicator() as communicator:
        connection = await communicator.connect(endpoint)
        ended = asyncio.Event()

        def changed(state: str, _: str) -> None:
            if state != "connected":
                ended.set()

        connection.on_state(changed)
        connection.add_servant(FunctionsImpl(functions, arguments.concurrency))
        await HostsPrx(connection).ready(token, problem)
        if problem:
            return 1
        await ended.wait()
        # Without waiting for the threads: the agent that has called them is gone.
        sys.stdout.flush()
        os._exit(0)


def main() -> int:
    """Runs the process."""
    parser = argparse.ArgumentParser(prog="tce.frame_host")
    parser.add_argument("--package", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--functions", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    arguments = parser.parse_args()
    if ENDPOINT not in os.environ or TOKEN not in os.environ:
        text = f"an agent of the work frame starts this program: {TOKEN} is not set"
        print(text, file=sys.stderr)
        return 2
    try:
        return asyncio.run(serve(arguments))
    except RpcError as error:
        print(f"the agent refuses this process: {error}", file=sys.stderr)
        return 1

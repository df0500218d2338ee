"""A cached file in the place where its framework looks for it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from support.samples import content, files, spec, verified
from weightdock.errors import ConfigurationError
from weightdock.node.layout import Layout, place


@pytest.mark.parametrize(
    ("layout", "asset", "where"),
    [
        (Layout.ULTRALYTICS, "", "alpha.bin"),
        (Layout.ULTRALYTICS, "alpha-v2.bin", "alpha-v2.bin"),
        (Layout.HUB, "", "hub/checkpoints/alpha.bin"),
        (Layout.HUB, "alpha.in1k", "hub/checkpoints/alpha.bin"),
    ],
)
def test_a_file_is_linked_to_where_it_is_looked_for(tmp_path: Path, layout: Layout, asset: str, where: str) -> None:
    file, root = verified(tmp_path / "cached"), tmp_path / "job"
    path = place(file, layout, root, spec(asset=asset))
    assert path == root / where
    assert path.samefile(file.path)
    assert place(file, layout, root, spec(asset=asset)) == path
    assert files(root) == {where}


def test_where_there_are_no_links_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuses)
    file = verified(tmp_path / "cached")
    path = place(file, Layout.ULTRALYTICS, tmp_path / "job", spec())
    assert (path.read_bytes(), path.samefile(file.path)) == (content("alpha"), False)
    assert files(tmp_path / "job") == {"alpha.bin"}


def test_another_file_of_that_name_may_be_somebody_s_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "alpha.bin"
    path.write_bytes(b"trained for a week")
    with pytest.raises(ConfigurationError) as refused:
        place(verified(tmp_path / "cached"), Layout.ULTRALYTICS, tmp_path, spec())
    assert refused.value.what == f"{path} is another file"
    assert path.read_bytes() == b"trained for a week"


@pytest.mark.parametrize("theirs", [b"trained for a week", content("alpha")])
def test_a_file_that_somebody_puts_there_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bytes
) -> None:
    file, path, link = verified(tmp_path / "cached"), tmp_path / "job" / "alpha.bin", os.link

    def meanwhile(source: Path, target: Path) -> None:
        path.write_bytes(theirs)
        link(source, target)

    monkeypatch.setattr(os, "link", meanwhile)
    if theirs == content("alpha"):
        assert place(file, Layout.ULTRALYTICS, path.parent, spec()) == path
    else:
        with pytest.raises(ConfigurationError, match="is another file"):
            place(file, Layout.ULTRALYTICS, path.parent, spec())
    assert (path.read_bytes(), path.samefile(file.path)) == (theirs, False)
    assert files(path.parent) == {"alpha.bin"}


def test_what_is_a_symbolic_link_in_the_cache_is_a_file_where_it_is_looked_for(tmp_path: Path) -> None:
    file = verified(tmp_path / "cached")
    file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to("elsewhere")
    path = place(file, Layout.ULTRALYTICS, tmp_path / "job", spec())
    assert not path.is_symlink()
    assert path.samefile(tmp_path / "elsewhere")


def test_a_link_to_what_is_not_there_now_is_somebody_s_too(tmp_path: Path) -> None:
    path = tmp_path / "alpha.bin"
    path.symlink_to("a disk that is not mounted")
    with pytest.raises(ConfigurationError) as refused:
        place(verified(tmp_path / "cached"), Layout.ULTRALYTICS, tmp_path, spec())
    assert (refused.value.what, refused.value.cause) == (
        f"{path} is another file",
        "it is a link to what is not there now",
    )
    assert path.readlink() == Path("a disk that is not mounted")


def test_a_copy_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "alpha.bin"
    path.write_bytes(content("alpha"))
    inode = path.stat().st_ino
    assert place(verified(tmp_path / "cached"), Layout.ULTRALYTICS, tmp_path, spec()) == path
    assert path.stat().st_ino == inode


def test_a_place_that_cannot_be_written_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("a file")
    with pytest.raises(ConfigurationError) as refused:
        place(verified(tmp_path / "cached"), Layout.ULTRALYTICS, tmp_path / "job", spec())
    assert refused.value.what == f"{tmp_path}/job/alpha.bin cannot be written"

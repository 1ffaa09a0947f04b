"""Downloads from mirrors on this machine that fail in every way known."""

import hashlib
import http.server
import logging
import subprocess
import sys
import threading
import time

import pytest

from certibayes.datasets import download as download_module
from certibayes.datasets.files import ChecksumError, Content, MissingFileError, PublishedFile
from certibayes.datasets.obtain import obtain

GOOD = bytes(range(256)) * 4096
MD5 = hashlib.md5(GOOD).hexdigest()
NAME = "images.gz"


class Mirror(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path: good, half, wrong, missing, slow."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        way = self.path.split("/")[1]
        if way == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if way != "unstated":
            self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        if way in ("half", "unstated"):
            self.wfile.write(GOOD[: len(GOOD) // 2])
        elif way == "wrong":
            self.wfile.write(GOOD[:-1] + b"x")
        elif way == "slow":
            self.wfile.write(GOOD[:1000])
            self.wfile.flush()
            self.server.released.wait(30)
        else:
            self.wfile.write(GOOD)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "CERTIBAYES_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Mirror.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.released = threading.Event()
        server.folder = tmp_path / "cache" / "certibayes" / "set"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def content(server, *ways, folders=("set",)):
    urls = tuple(f"http://127.0.0.1:{server.server_port}/{way}/{NAME}" for way in ways)
    return Content(folders, (PublishedFile(NAME, MD5, urls), PublishedFile("images", "0" * 32)))


def kept(server):
    """Return what lies in the cache beside the lock."""
    files = server.folder.parent.rglob("*")
    return sorted(path.name for path in files if path.is_file() and path.name != "lock")


def test_a_download_is_kept_in_the_cache_and_made_once(mirror):
    path = obtain(content(mirror, "good"))
    assert path == mirror.folder / NAME
    assert path.read_bytes() == GOOD
    assert obtain(content(mirror, "good")) == path
    assert Mirror.asked == [f"/good/{NAME}"]
    assert kept(mirror) == [NAME]


@pytest.mark.parametrize("way", ["half", "unstated", "wrong", "missing"])
def test_a_mirror_that_fails_is_followed_by_the_next(mirror, way):
    assert obtain(content(mirror, way, "good")).read_bytes() == GOOD
    assert Mirror.asked == [f"/{way}/{NAME}", f"/good/{NAME}"]
    assert kept(mirror) == [NAME]


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("half", f"got {len(GOOD) // 2} of {len(GOOD)} bytes"),
        ("unstated", f"MD5 is {hashlib.md5(GOOD[: len(GOOD) // 2]).hexdigest()}; allowed: {MD5}"),
        ("wrong", f"MD5 is {hashlib.md5(GOOD[:-1] + b'x').hexdigest()}; allowed: {MD5}"),
        ("missing", "HTTP Error 404"),
    ],
)
def test_nothing_is_kept_of_what_no_mirror_gives_right(mirror, way, message):
    with pytest.raises(MissingFileError) as caught:
        obtain(content(mirror, way, way))
    text = str(caught.value)
    assert text.count(f"http://127.0.0.1:{mirror.server_port}/{way}/{NAME}: {message}") == 2
    assert f"{NAME} or images: not in {mirror.folder} (CERTIBAYES_DATA is not set)" in text
    assert f"allowed in one of these folders: {NAME} with MD5 {MD5}" in text
    assert kept(mirror) == []


def test_a_mirror_that_falls_silent_is_given_up(mirror, monkeypatch):
    monkeypatch.setattr(download_module, "TIMEOUT_SECONDS", 0.2)
    assert obtain(content(mirror, "slow", "good")).read_bytes() == GOOD


def test_a_mirror_that_cannot_be_reached_is_followed_by_the_next(mirror, monkeypatch):
    dead = PublishedFile(
        NAME, MD5, ("http://127.0.0.1:1/x", *content(mirror, "good").forms[0].urls)
    )
    assert obtain(Content(("set",), (dead,))).read_bytes() == GOOD


def test_only_the_web_is_asked(mirror, tmp_path):
    (tmp_path / NAME).write_bytes(GOOD)
    local = PublishedFile(NAME, MD5, ((tmp_path / NAME).as_uri(),))
    with pytest.raises(MissingFileError, match=r"file://.*: allowed: http, https"):
        obtain(Content(("set",), (local,)))


def test_an_interrupted_download_leaves_nothing(mirror, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(PublishedFile, "require_md5", interrupted)
    with pytest.raises(KeyboardInterrupt):
        obtain(content(mirror, "good"))
    assert kept(mirror) == []


def test_what_a_killed_download_left_goes_with_the_next(mirror):
    lines = (
        "from certibayes.datasets.files import Content, PublishedFile",
        "from certibayes.datasets.obtain import obtain",
        f"obtain({content(mirror, 'slow')!r})",
    )
    with subprocess.Popen([sys.executable, "-c", "; ".join(lines)]) as process:
        while not list(mirror.folder.glob(".*partial*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert len(kept(mirror)) == 1
    obtain(content(mirror, "good"))
    assert kept(mirror) == [NAME]


def test_a_damaged_download_is_fetched_again(mirror, caplog):
    mirror.folder.mkdir(parents=True)
    (mirror.folder / NAME).write_bytes(GOOD[:-5])
    with caplog.at_level(logging.WARNING):
        assert obtain(content(mirror, "good")).read_bytes() == GOOD
    assert f"removed a damaged download: {mirror.folder / NAME}: MD5 is" in caplog.text


def test_the_data_root_goes_before_cache_and_mirrors(mirror, tmp_path, monkeypatch):
    obtain(content(mirror, "good"))
    root = tmp_path / "root"
    (root / "second").mkdir(parents=True)
    (root / "second" / NAME).write_bytes(GOOD)
    monkeypatch.setenv("CERTIBAYES_DATA", str(root))
    wanted = content(mirror, folders=("set", "second"))
    assert obtain(wanted) == root / "second" / NAME
    (root / "second" / NAME).write_bytes(b"half")
    with pytest.raises(ChecksumError, match=f"second/{NAME}: MD5 is .*; allowed: {MD5}"):
        obtain(wanted)
    (root / "second" / NAME).unlink()
    assert obtain(wanted) == mirror.folder / NAME
    (mirror.folder / NAME).unlink()
    with pytest.raises(MissingFileError, match="no mirror is known") as caught:
        obtain(wanted)
    for folder in (root / "set", root / "second", mirror.folder):
        assert str(folder) in str(caught.value)


def test_a_data_root_that_is_no_folder_is_refused(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("CERTIBAYES_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError, match=r"CERTIBAYES_DATA: got .*; allowed: an existing"):
        obtain(content(mirror, "good"))

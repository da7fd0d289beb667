"""Where weight files are looked for, and how they are downloaded from a stand-in for the hub."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hub_tools import BODY, FILE, Hub, download, serve, stall

from scedit_core import SCEditError
from scedit_core.annotators.nets import weights as w
from scedit_core.annotators.nets.weights import WeightFile, find_weights, missing_weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty Hugging Face cache."""
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def hub(monkeypatch):
    """The stand-in, as HF_ENDPOINT."""
    hub = Hub(BODY)
    monkeypatch.setenv("HF_ENDPOINT", hub.address + "/")
    yield hub
    hub.stop()


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_file_comes_whole_from_the_pinned_revision_with_progress(hub, tmp_path, size):
    seen = []
    file = replace(FILE, size=size)
    path = download(tmp_path / "new", file, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "new" / "net.pth"
    assert path.read_bytes() == BODY
    assert hub.requests == [(f"/them/nets/resolve/{'a' * 40}/net.pth", None)]
    assert seen == sorted(seen)
    assert seen[-1] == (len(BODY), len(BODY))
    assert [file.name for file in path.parent.iterdir()] == ["net.pth"]


def test_a_part_goes_on_where_it_stopped(hub, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(BODY[:1000])
    assert download(tmp_path).read_bytes() == BODY
    assert [asked for _, asked in hub.requests] == ["bytes=1000-"]


def test_answers_that_break_off_are_taken_up_again(hub, tmp_path):
    hub.behave = lambda handler, count: serve(handler, count, body=BODY, upto=count * 1_000_000)
    assert download(tmp_path).read_bytes() == BODY
    assert len(hub.requests) == 4


def test_a_server_that_knows_no_ranges_starts_again(hub, tmp_path):
    def whole(handler, count):
        del handler.headers["Range"]
        serve(handler, count, body=BODY)

    hub.behave = whole
    (tmp_path / "net.pth.part").write_bytes(b"x" * 1000)
    assert download(tmp_path).read_bytes() == BODY


def fail(code):
    """Refuse every time."""

    def behave(handler, _count):
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def say(header, value):
    """Answer with a header of any content."""

    def behave(handler, _count):
        handler.send_response(302 if header == "Location" else 200)
        handler.send_header(header, value)
        handler.end_headers()

    return behave


BAD = {
    "stalls": (stall, ["could not be downloaded", "run again", "them/nets", "modelscope.cn"], True),
    "is broken": (lambda hub: fail(500), ["could not be downloaded", "500"], False),
    "has no such file": (lambda hub: fail(404), ["could not be downloaded", "404"], False),
    "gives no length": (
        lambda hub: say("Content-Length", "abc"),
        ["could not be downloaded", "'abc' bytes"],
        False,
    ),
    "gives a length without end": (lambda hub: say("Content-Length", "9" * 30), ["9999' bytes"], False),
    "gives a negative length": (lambda hub: say("Content-Length", "-5"), ["'-5' bytes"], False),
    "leads to no address": (lambda hub: say("Location", "http://[::1"), ["could not be downloaded"], False),
    "leads to no port": (lambda hub: say("Location", "http://a:b/"), ["could not be downloaded"], False),
    "lies": (
        lambda hub: lambda h, n: serve(h, n, body=BODY[:-1] + b"?"),
        ["another file", "deleted", FILE.sha256[:12]],
        False,
    ),
    "sends a shorter file": (
        lambda hub: lambda h, n: serve(h, n, body=BODY[:5000]),
        ["another file", "5000 bytes"],
        False,
    ),
}


@pytest.mark.parametrize(("behave", "words", "leaves_part"), BAD.values(), ids=BAD.keys())
def test_nothing_half_written_or_wrong_is_ever_there(hub, tmp_path, behave, words, leaves_part):
    hub.behave = behave(hub)
    with pytest.raises(SCEditError) as caught:
        download(tmp_path / "own")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
    left = [file.name for file in (tmp_path / "own").iterdir()]
    assert left == (["net.pth.part"] if leaves_part else [])
    assert find_weights(FILE, [tmp_path / "own"]) is None


def test_a_cancelled_download_goes_on_later(hub, tmp_path):
    class Cancelled(Exception):
        pass

    def cancel(done, _total):
        if done > 1_500_000:
            raise Cancelled

    with pytest.raises(Cancelled):
        download(tmp_path, progress=cancel)
    assert find_weights(FILE, [tmp_path]) is None
    assert download(tmp_path).read_bytes() == BODY
    assert hub.requests[-1][1] is not None


def test_files_are_looked_for_in_our_folders_then_the_cache_then_other_packs(tmp_path, cache):
    own = [tmp_path / "own", tmp_path / "extra"]
    revisions = cache / "models--them--nets" / "snapshots"
    places = [
        tmp_path / "own" / "net.pth",
        tmp_path / "own" / "them" / "nets" / "net.pth",
        tmp_path / "extra" / "net.pth",
        revisions / ("a" * 40) / "net.pth",
        revisions / "another" / "net.pth",
        tmp_path / "pack" / "them" / "nets" / "net.pth",
    ]
    assert find_weights(FILE, own, [tmp_path / "pack"]) is None
    for place in reversed(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
        assert find_weights(FILE, own, [tmp_path / "pack"]) == place


@pytest.mark.parametrize(
    ("variable", "value", "folder"),
    [
        ("HF_HUB_CACHE", "{}/a", "a"),
        ("HUGGINGFACE_HUB_CACHE", "{}/b", "b"),
        ("HF_HOME", "{}/c", "c/hub"),
        ("XDG_CACHE_HOME", "{}/d", "d/huggingface/hub"),
    ],
)
def test_the_cache_is_where_hugging_face_has_it(tmp_path, monkeypatch, variable, value, folder):
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv(variable, value.format(tmp_path))
    assert w.hub_cache() == tmp_path / folder


def test_what_is_missing_is_said_in_one_sentence(tmp_path):
    sentence = str(missing_weights(w.HED_WEIGHTS, [tmp_path]))
    for word in ("ControlNetHED.pth", "29 MB", "huggingface.co/lllyasviel", "modelscope.cn", str(tmp_path)):
        assert word in sentence
    assert "\n" not in sentence


PUBLISHED = [value for value in vars(w).values() if isinstance(value, WeightFile)]


@pytest.mark.parametrize("published", PUBLISHED, ids=[file.name for file in PUBLISHED])
def test_each_published_file_is_asked_for_at_its_revision_and_only_the_true_one_is_kept(
    hub, tmp_path, published
):
    with pytest.raises(SCEditError, match=f"{published.name}.* is another file"):
        download(tmp_path, replace(published, size=len(BODY)))
    assert list(tmp_path.iterdir()) == []
    true = replace(published, size=len(BODY), sha256=FILE.sha256)
    assert download(tmp_path, true).read_bytes() == BODY
    asked = f"/{published.repo}/resolve/{published.revision}/{published.path}"
    assert hub.requests == [(asked, None), (asked, None)]


def test_every_file_is_pinned():
    assert len(PUBLISHED) == 6
    for file in PUBLISHED:
        assert (len(file.revision), len(file.sha256)) == (40, 64)
        assert file.size is None or round(file.size / 1e6) == file.megabytes

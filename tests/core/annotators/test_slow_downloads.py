"""Downloads from servers that are slow, odd or asked by two at once."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from hub_tools import BODY, FILE, Hub, download, serve, stall

from scedit_core import SCEditError
from scedit_core.annotators.nets.download import _url, download_weights


@pytest.fixture
def hub(monkeypatch):
    """The stand-in, as HF_ENDPOINT."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub = Hub(BODY)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    yield hub
    hub.stop()


def nothing(hub):
    """Never answer."""
    return lambda handler, count: hub.released.wait(10)


@pytest.mark.parametrize("behave", [nothing, stall])
def test_a_download_from_a_slow_server_is_cancelled_within_a_second(hub, tmp_path, behave):
    class Cancelled(Exception):
        pass

    hub.behave = behave(hub)
    start = time.monotonic()

    def cancel(_done, _total):
        if time.monotonic() > start + 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        download_weights(FILE, tmp_path, cancel, patience=30)
    assert time.monotonic() < start + 1
    assert {file.name for file in tmp_path.iterdir()} == ({"net.pth.part"} if behave is stall else set())
    hub.released.set()
    hub.behave = partial(serve, body=BODY)
    assert download(tmp_path).read_bytes() == BODY


def test_two_that_fetch_the_same_file_at_once_do_not_meet(hub, tmp_path):
    both = threading.Barrier(2)

    def in_pieces(handler, count):
        both.wait(5)
        serve(handler, count, body=BODY)

    (tmp_path / "net.pth.part").write_bytes(BODY[:1000])
    hub.behave = in_pieces
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: download(tmp_path), range(2)))
    assert [path.read_bytes() == BODY for path in paths] == [True, True]
    assert sorted(str(asked) for _, asked in hub.requests) == ["None", "bytes=1000-"]  # one had the part
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]


def test_what_a_killed_process_left_is_taken_up_once_it_is_old(hub, tmp_path):
    part = tmp_path / "net.pth.0123abcd.part"
    part.write_bytes(BODY[:1000])
    assert download(tmp_path).read_bytes() == BODY
    assert part.exists()
    os.utime(part, (0, 0))
    assert download(tmp_path).read_bytes() == BODY
    assert [asked for _, asked in hub.requests] == [None, "bytes=1000-"]
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]


def test_a_server_that_tells_no_length_is_read_to_its_end(hub, tmp_path):
    def without(handler, _count):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)

    hub.behave = without
    assert download(tmp_path, replace(FILE, size=None)).read_bytes() == BODY


def test_no_more_is_written_than_the_published_file_has(hub, tmp_path):
    hub.behave = lambda handler, count: serve(handler, count, body=BODY * 4)
    assert download(tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    "address",
    ["file:///etc", "ftp://a", "huggingface.co", "http://", "http://[::1", "http://a:b", "http://a:99999",
     "http://a b", "http://" + "a" * 300, "http://例え.jp/ä", "http://a\n", "https://",
     "http://.", "http://a..b", "http://a/<x>"],
)  # fmt: skip
def test_an_endpoint_that_is_no_web_address_is_refused(tmp_path, monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(SCEditError, match=r"HF_ENDPOINT is .*correct or remove it") as caught:
        download(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "example.invalid", "a-b_c"])
def test_an_endpoint_may_be_any_host(monkeypatch, host):
    monkeypatch.setenv("HF_ENDPOINT", f"http://{host}:8080/mirror/")
    assert _url(FILE) == f"http://{host}:8080/mirror/them/nets/resolve/{'a' * 40}/net.pth"

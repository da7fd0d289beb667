"""Help pages and their pictures, as a real server hands them out."""

from urllib.request import ProxyHandler, build_opener

from support import REPOSITORY

DOCS = REPOSITORY / "web" / "docs"


def test_the_server_hands_out_every_page_and_picture_of_the_help(server):
    files = [file.relative_to(DOCS) for kind in ("*.md", "*.jpg") for file in sorted(DOCS.rglob(kind))]
    straight = build_opener(ProxyHandler({}))  # not by way of a proxy that the environment may name
    kinds = set()
    for file in files:
        url = f"{server.url}/extensions/ComfyUI-SCEdit/docs/{file.as_posix()}"
        with straight.open(url, timeout=60) as answer:
            assert answer.read() == (DOCS / file).read_bytes()
            kinds.add((file.suffix, answer.headers.get_content_type()))
    assert (".jpg", "image/jpeg") in kinds

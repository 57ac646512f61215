"""``/docs``: what ``/openapi.json`` says, for people, to be tried out; and the way there from ``/``.

The page is our own, a few kilobytes in ``docs_page/``: it works without the Internet, and a strict policy lets it load
nothing but its own two files, so that no script from elsewhere ever runs beside an API key.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import RedirectResponse, Response

from service.security.headers import PAGE_POLICY

_FOLDER = Path(__file__).with_name("docs_page")

_FILES = (
    ("/docs", "page.html", "text/html; charset=utf-8"),
    ("/docs/page.css", "page.css", "text/css; charset=utf-8"),
    ("/docs/page.js", "page.js", "text/javascript; charset=utf-8"),
)


class DocsRoutes:
    """The page and its files, read once."""

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for path, name, media_type in _FILES:
            page = _Page((_FOLDER / name).read_bytes(), media_type)
            app.router.add_api_route(path, page.answer, methods=["GET"], include_in_schema=False)
        app.router.add_api_route("/", self.root, methods=["GET"], include_in_schema=False)

    async def root(self) -> Response:
        """Lead to the documentation."""
        return RedirectResponse("docs", status_code=307)


class _Page:
    """One of the page's files."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type

    async def answer(self) -> Response:
        """Answer with the file."""
        return Response(self._content, headers={"content-security-policy": PAGE_POLICY}, media_type=self._media_type)

"""CSS and JavaScript, served from memory under a path that changes with their content."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
PREFIX = "/console/static"
_FOREVER = "public, max-age=31536000, immutable"
_TEXTUAL = frozenset({".css", ".js", ".svg", ".txt"})


class StaticFiles:
    """All files of a folder.

    One hash stands for all of them, so that modules may import each other by relative paths.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Return the path of a file; a wrong name is a mistake of the template that asks."""
        if name not in self._files:
            raise KeyError(f"There is no static file {name!r} in {FOLDER}.")
        return f"{PREFIX}/{self.version}/{name}"

    def routes(self) -> list[web.RouteDef]:
        """Return the route that serves them."""
        return [web.get(PREFIX + "/{version}/{name:.+}", self._get)]

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        content = self._files.get(name)
        if content is None:
            return web.Response(status=404, text=f"There is no file {name[:100]!r} here.")
        # While pods are updated one after the other, a page of one may ask another for its files.
        is_current = request.match_info["version"] == self.version
        response = web.Response(
            body=content,
            content_type=mimetypes.guess_type(name)[0] or "text/plain",
            charset="utf-8" if Path(name).suffix in _TEXTUAL else None,
            headers={"Cache-Control": _FOREVER if is_current else "no-cache"},
        )
        response.enable_compression()
        return response

"""How built assets are named and served: hashed names once they were collected, plain ones before."""

from django.core.files.storage import FileSystemStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]

# Not served: what the bundles are built from, the second viewer of the API, the scripts of allauth's own templates, and
# django-htmx's own copy of htmx (an import in it leads nowhere).
ALLAUTH = ["account/*", "mfa/*"]
UNSERVED = [*ALLAUTH, "js/*", "css/*", "icons/*", "*.mjs", "django_htmx/*", "ninja/redoc*", ".stamp", "chunks.json"]


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Content-hashed names, also inside the imports of JavaScript chunks.

    Until `collectstatic` has written the manifest (tests, `make dev`) the files of static/ keep their own names.
    """

    support_js_module_import_aggregation = True
    manifest_strict = False

    def url(self, name: str | None, force: bool = False) -> str:
        if not self.hashed_files and not force:
            return FileSystemStorage.url(self, name)
        return str(super().url(name, force))

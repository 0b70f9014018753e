"""Lets MkDocs build the pages where they stand in the repository, so that their links hold there and on the site."""

from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "LICENSE", "CITATION.cff", "configs/**/*", "docs/**/*")


def on_files(files, config):
    """Replace what MkDocs found in ``docs`` by files with their paths in the repository, beside the theme's own."""
    own = Path(config.docs_dir).resolve()
    kept = [file for file in files if file.abs_src_path is None or own not in Path(file.abs_src_path).parents]
    paths = {path for pattern in PAGES for path in ROOT.glob(pattern) if path.is_file() and path.suffix != ".pyc"}
    pages = [
        File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls)
        for path in sorted(paths)
    ]
    return Files([*kept, *pages])

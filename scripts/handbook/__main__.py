"""Write them."""

from scripts.handbook import DOCS, pages

for stale in {*(DOCS / "drivers").glob("*.md")} - pages().keys():
    stale.unlink()
for file, text in pages().items():
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)

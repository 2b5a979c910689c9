"""Writes NOTICE: the licences of what is linked into the wheel's native library.

Run it (``make notices``) when Cargo.lock changes. It reads the sources that cargo has already downloaded.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parent.parent
RULE = "=" * 80

HEAD = """\
Third-party notices

pixcrawler-sdk is under the MIT licence (LICENSE). Its native library contains the software below, each part under its
own licence. The photographs of the demonstration are described in python/pixcrawler/demo/PROVENANCE.md.

This software is based in part on the work of the Independent JPEG Group.
"""

# These crates publish no licence file; the texts are those of their repositories.
MIT_TERMS = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


class Package(TypedDict):
    """A crate, as ``cargo metadata`` describes it."""

    name: str
    version: str
    license: str
    authors: list[str]
    manifest_path: str
    source: str | None


def cargo(*arguments: str) -> str:
    """What a cargo command prints."""
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def linked_crates() -> dict[tuple[str, str], Package]:
    """Crates whose code is in the native library, on any platform, by name and version; ours are left out."""
    tree = cargo("tree", "-p", "pixcrawler-python", "-e", "normal,no-proc-macro", "--target", "all", "--prefix", "none")
    linked = set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))
    packages = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    return {
        (package["name"], package["version"]): package
        for package in packages
        if (package["name"], package["version"]) in linked and package["source"] is not None
    }


def licence_texts(package: Package) -> list[str]:
    """The MIT text where a crate offers it, else every licence text that it carries."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if re.match(r"(?i)(licen[cs]e|copying|unlicense)", path.name))
    chosen = [path for path in files if "mit" in path.name.lower()] or files
    if chosen:
        return [path.read_text(encoding="utf-8").strip() for path in chosen]
    authors = ", ".join(re.sub(r" *<.*?>", "", author) for author in package["authors"])
    return [f"Copyright (c) {authors}\n\n{MIT_TERMS}".strip()]


def between(text: str, start: str, stop: str) -> str:
    """The part of a text from one mark up to another."""
    begin = text.index(start)
    return text[begin : text.index(stop, begin)].strip()


def library_sections(crates: dict[tuple[str, str], Package]) -> list[tuple[str, str]]:
    """Titles and texts of the C libraries that come inside crates."""
    folders = {name: Path(package["manifest_path"]).parent for (name, _), package in crates.items()}
    jpeg, webp = folders["turbojpeg-sys"] / "libjpeg-turbo", folders["libwebp-sys"] / "vendor"
    bsd = between(
        (jpeg / "LICENSE.md").read_text("utf-8"), "The Modified (3-clause) BSD License\n===", "Why Two Licenses?"
    )
    ijg = between((jpeg / "README.ijg").read_text("utf-8"), "LEGAL ISSUES\n===", "REFERENCES\n===")
    simd = (jpeg / "simd/nasm/jsimdext.inc").read_text("utf-8")
    zlib = re.sub(r"(?m)^; ?", "", between(simd, "; Copyright", "; ====="))
    sources = (path for part in ("x86_64", "i386", "arm") for path in (jpeg / "simd" / part).rglob("*.*"))
    holders = {
        line for path in sources for line in re.findall(r"Copyright (?:\(C\) )?\d{4}.*[^ *\n]", path.read_text("utf-8"))
    }
    zlib += "\n\nFurther copyrights in these files:\n" + "\n".join(sorted(holders))
    return [
        ("libjpeg-turbo: TurboJPEG API", bsd.replace("<br>", "")),
        ("libjpeg-turbo: libjpeg API", ijg),
        ("libjpeg-turbo: SIMD code", zlib),
        ("libwebp", (webp / "COPYING").read_text("utf-8").strip()),
        ("libwebp: patents", (webp / "PATENTS").read_text("utf-8").strip()),
    ]


def main() -> None:
    """Writes NOTICE."""
    crates = linked_crates()
    sections = library_sections(crates)
    owners: dict[str, list[str]] = {}
    for (name, version), package in sorted(crates.items()):
        for text in licence_texts(package):
            owners.setdefault(text, []).append(f"{name} {version} ({package['license']})")
    sections += [("Rust crates: " + ", ".join(names), text) for text, names in owners.items()]
    std = f"Copyright (c) The Rust Project contributors\n\n{MIT_TERMS}".strip()
    sections.append(("The Rust standard library (MIT OR Apache-2.0)", std))
    body = "".join(f"\n{RULE}\n{title}\n{RULE}\n\n{text}\n" for title, text in sections)
    lines = (line.rstrip() for line in (HEAD + body).replace("\r\n", "\n").split("\n"))
    (ROOT / "NOTICE").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

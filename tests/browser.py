"""A page as a browser shows it: what its console says, what overflows, which images are missing."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
NARROW, PAPER = 400, 680  # pixels: a telephone, and the print of an A4 sheet
ASKS = """
<script>
window.onload = () => setTimeout(() => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, images = [...page.images];
    const wide = [...page.querySelectorAll("body *")].filter(item =>
      item.getBoundingClientRect().right > page.documentElement.clientWidth + 1
      && !item.closest(".scroll, figure, pre"));
    found[frame.id] = {
      overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
      wide: wide.map(item => item.tagName),
      images: images.length,
      missing: images.filter(image => !image.complete || image.naturalWidth === 0).length,
      smallest: Math.min(...[...page.querySelectorAll("p, td, th, figcaption, dd")].map(item =>
        parseFloat(frame.contentWindow.getComputedStyle(item).fontSize))),
    };
  }
  document.body.innerHTML = "<pre id=found>" + JSON.stringify(found) + "</pre>";
}, 50);
</script>
"""


def browser() -> str | None:
    """The browser of the variable CHROMIUM, or one on the path."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def seen(page: str, folder: Path) -> tuple[dict[str, dict], str]:
    """What a browser finds on a page, narrow and printed, and what its console says.

    The page stands in frames of both widths; printed is with the rules for print in force.
    """
    printed = page.replace("@media print", "@media all")
    frames = [
        f'<iframe id="{name}" width="{width}" height="900" srcdoc="{html.escape(text)}"></iframe>'
        for name, width, text in (("narrow", NARROW, page), ("printed", PAPER, printed))
    ]
    host = folder / "host.html"
    host.write_text(f"<!DOCTYPE html><body>{''.join(frames)}{ASKS}</body>", encoding="utf-8")
    command = [
        str(browser()), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0",
        "--virtual-time-budget=3000", "--dump-dom", host.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found.group(1))), "\n".join(console)

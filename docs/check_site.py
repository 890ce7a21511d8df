"""Visit every page of the built documentation in headless Chromium, narrow and wide.

    make docs && python docs/check_site.py [folder for screenshots]

Prints broken links and pictures, errors of the console, and pages that are wider than the window,
and exits with 1 if there are any. What lies on other servers is not checked. It needs selenium,
Chromium and ChromeDriver.
"""

import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag, urlparse

from selenium import webdriver

SITE = Path(__file__).parent / "_build" / "html"
WIDTHS = {400: 800, 1400: 1000}  # of the window, and its heights
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
PICTURED = ("index", "user_guide", "comparison", "auto_examples/index")
FIND = """
    return {
        links: [...document.querySelectorAll('a[href]')].map(a => a.href),
        broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
        width: document.documentElement.scrollWidth,
    }
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Log nothing."""


def main(pictures=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}/"
    options = webdriver.ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    pages = sorted(page.relative_to(SITE) for page in SITE.rglob("*.html"))
    pages = [page for page in pages if page.parts[0] != "_static"]
    try:
        found = [
            problem
            for width, height in WIDTHS.items()
            for problem in visit(browser, root, pages, width, height, pictures)
        ]
    finally:
        browser.quit()
    print(f"{len(pages)} pages at {len(WIDTHS)} widths: {len(found)} problems", *found, sep="\n")
    return bool(found)


def visit(browser, root, pages, width, height, pictures):
    """Problems of the pages at one size of the window."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for page in pages:
        browser.get(root + page.as_posix())
        name = page.with_suffix("").as_posix()
        state = browser.execute_script(FIND)
        for link in state["links"]:
            target = urldefrag(link).url
            if target.startswith(root) and not (SITE / urlparse(target).path[1:]).exists():
                yield f"{name}: the link {target} leads nowhere"
        yield from (f"{name}: the picture {picture} is broken" for picture in state["broken"])
        if state["width"] > width:
            yield f"{name}: {state['width']} pixels wide in a window of {width}"
        for entry in browser.get_log("browser"):
            if entry["level"] != "INFO" and root in entry["message"]:
                yield f"{name}: {entry['message']}"
        if pictures and name in PICTURED:
            file = Path(pictures, f"{name.replace('/', '_')}_{width}.png")
            browser.save_screenshot(file)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

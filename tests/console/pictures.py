"""Takes the pictures of docs/console.md from the running product: its demo, in a real browser.

python -m tests.console.pictures [FOLDER]
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page

from deploy.local.demonstration import TENANT
from tests.console.browser import Tab, chromium
from tests.poison import poison
from tests.stack import ADMIN_KEY, ROOT, Stack, eventually

FOLDER = ROOT / "docs" / "pictures"
WIDE, PHONE = (1280, 860), (390, 844)
WRONG = """pipeline_id: daily_cost
steps:
  - id: by_service
    ps_type: bq_etl.qery
    config:
      source_query: "SELECT 1 AS one"
      target_table: ${tenant_id}.by_service
"""


def the_run(page: Page) -> None:
    page.locator("main .cell.COMPLETED").last.click()
    page.get_by_role("heading", name="Timeline").wait_for()
    page.get_by_role("heading", name="Data quality").wait_for()


def the_faults(page: Page) -> None:
    page.evaluate("location.hash = '#/pipelines/daily_cost/new'")
    page.get_by_label("Definition of daily_cost").fill(WRONG)
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator(".editor li.wrong").wait_for()


def the_letters(page: Page) -> None:
    page.get_by_role("link", name="Dead letters").click()
    page.locator("main summary").first.click()


def the_cost(page: Page) -> None:
    page.locator("section", has_text="Cost by service").get_by_role("img").first.wait_for()
    page.get_by_role("region", name="Cost by source").wait_for()


@dataclass(frozen=True)
class Picture:
    name: str
    go: Callable[[Page], None]
    scheme: str = "light"
    size: tuple[int, int] = WIDE
    by_operator: bool = False
    whole: bool = False


PICTURES = (
    Picture("overview", the_cost, whole=True),
    Picture("run", the_run, "dark"),
    Picture("editor", the_faults),
    Picture("dead-letters", the_letters, "dark", by_operator=True),
    Picture("phone", the_cost, size=PHONE, whole=True),
)


@contextmanager
def demo() -> Iterator[Stack]:
    with TemporaryDirectory() as folder:
        stack = Stack(Path(folder), {"DEMO": "1"}).start()
        stack.keys[TENANT] = (Path(folder) / f"{TENANT}.key").read_text()
        try:
            poison(stack, TENANT)
            eventually(lambda: _heard(stack))
            yield stack
        finally:
            stack.stop()


def _heard(stack: Stack) -> None:
    letters = stack.call("GET", "/api/v1/admin/dead-letters").body["letters"]
    assert letters


def take(browser: Browser, stack: Stack, picture: Picture, folder: Path) -> None:
    width, height = picture.size
    context = browser.new_context(
        color_scheme="dark" if picture.scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        locale="en-GB",
    )
    tab = Tab(context.new_page(), f"http://127.0.0.1:{stack.port}").listen()
    tab.sign_in(ADMIN_KEY if picture.by_operator else stack.keys[TENANT])
    picture.go(tab.page)
    path = folder / f"{picture.name}.png"
    tab.page.screenshot(path=path, full_page=picture.whole)
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")
    context.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with demo() as stack, chromium() as browser:
        for picture in PICTURES:
            take(browser, stack, picture, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

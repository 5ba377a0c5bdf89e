"""The explorer in a real browser: what it shows live, what it proves, and for whom it is usable.

Without Debian's Chromium these tests skip (apt install chromium).
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.app.enrolments import starts
from tests.app.registry_kinds import LOAD, signed
from tests.app.village import START_S
from tests.explorer.served import Served
from tests.node.office import Bureau
from validator.api.pages import LIBRARIES
from wire.access import HolderSecret
from wire.genesis import Genesis
from wire.resolution import DISMISS, ResolveCase
from wire.transaction import Body, Transaction
from wire.transaction_bodies import Entry

CHROMIUM = shutil.which("chromium")
# Its own sandbox wants user namespaces, and shared memory a /dev/shm: containers have neither.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
PAGES = (
    "chain",
    "block/2",
    "zones",
    "zone/z1",
    f"zone/z1/{START_S}",
    "meters",
    "meter/c1",
    "reading/c1/1",
    "gateways",
    "authorities",
    "evidence",
    "verify",
)
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1200, "height": 900}

LINKS = ["header", "genesis", "seals", "witness", "reading", "inclusion", "zone"]
"""In the order in which they are checked."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium: apt install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("explorer"), open_readings=1) as served:
        served.do(lambda bureau: bureau.grow(4))
        yield served


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    troubles: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            troubles.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    context.close()
    assert troubles == []


def visit(page: Page, served: Served, name: str) -> None:
    page.goto(f"{served.address}/#/{name}")
    expect(page.locator("main h1")).to_be_visible()


def test_a_block_appears_when_it_becomes_final(page: Page, served: Served) -> None:
    visit(page, served, "chain")
    expect(page.locator("#live")).to_contain_text("live")
    before = page.locator("tbody tr").count()
    served.do(lambda bureau: bureau.grow())
    expect(page.locator("tbody tr")).to_have_count(before + 1)
    expect(page.locator("tbody tr").first).to_contain_text(str(before + 1))
    expect(page.locator("#live")).to_contain_text(f"block {before + 1}")
    expect(page.locator("main ul li").first).to_contain_text("BALANCED")


def test_who_finds_no_place_to_listen_asks_again(browser: Browser, served: Served) -> None:
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.clock.install()
    page.route("**/api/v1/events", lambda route: route.fulfill(status=429), times=1)
    visit(page, served, "chain")
    expect(page.locator("#live")).to_contain_text("trying again")
    page.clock.fast_forward(10_000)
    expect(page.locator("#live")).to_have_text("live")
    context.close()


def test_a_receipt_is_verified_in_the_browser(page: Page, served: Served) -> None:
    visit(page, served, "reading/c1/1")
    expect(page.locator("main")).to_contain_text("Verified here, in your browser")
    links = page.locator("ol.links li b")
    assert [links.nth(n).inner_text() for n in range(links.count())] == ["✓"] * 7
    expect(page.locator("main")).to_contain_text("Meter c1 at node n1 counted 500 Wh taken")


def test_a_page_says_whose_key_signed_a_reading(page: Page, served: Served) -> None:
    visit(page, served, "reading/c1/1")
    expect(page.locator("ol.links")).to_contain_text("The meter's own key signed exactly these")
    row = page.request.get(f"{served.address}/api/v1/readings/c3").json()["items"][-1]
    visit(page, served, f"reading/c3/{row['sequence']}")
    words = "Its gateway's key (the meter has none) signed exactly"
    expect(page.locator("ol.links")).to_contain_text(words)


def test_a_tampered_copy_fails_at_the_link_that_was_changed(page: Page, served: Served) -> None:
    visit(page, served, "reading/c1/1")
    wanted = ["reading", "reading", "witness", "header", "seals", "inclusion", "zone"]
    for place, name in enumerate(wanted):
        page.get_by_label("Change one bit of").select_option(str(place))
        page.get_by_role("button", name="and verify again").click()
        expect(page.locator("main .problem")).to_contain_text(f"the link “{name}” does not hold")
        broken = page.locator("main .problem ol.links li", has_text="✗")
        expect(broken.locator("span").first).to_have_text(name)
        ticked = page.locator("main .problem ol.links b", has_text="✓")
        expect(ticked).to_have_count(LINKS.index(name))


def test_a_visitors_own_genesis_file_of_another_network_refuses(
    page: Page, served: Served, tmp_path: Path
) -> None:
    visit(page, served, "reading/c1/1")
    genesis = json.loads(served.do(lambda bureau: bureau.sources.genesis_file))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(genesis | {"name": "elsewhere"}))
    page.locator("summary").click()
    page.get_by_label("Your own genesis file").set_input_files(other)
    expect(page.locator("main .problem")).to_contain_text("the link “genesis” does not hold")
    page.get_by_role("button", name="use the validator's again").click()
    expect(page.locator("main")).to_contain_text("Verified here")


def test_a_receipt_file_is_verified_without_leaving_the_browser(
    page: Page, served: Served, tmp_path: Path
) -> None:
    visit(page, served, "reading/c1/1")
    with page.expect_download() as download:
        page.get_by_text("Save the receipt").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    visit(page, served, "verify")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.get_by_label("Receipt", exact=True).set_input_files(file)
    expect(page.locator("main")).to_contain_text("Verified here")
    assert set(sent) <= {"GET"}
    expect(page.get_by_text("What this rests on")).to_have_count(1)


def test_what_is_no_receipt_is_told_so_and_ticks_nothing(
    page: Page, served: Served, tmp_path: Path
) -> None:
    visit(page, served, "verify")
    whole = page.request.get(f"{served.address}/api/v1/receipts/c1/1").body()
    for name, content in {"empty": b"", "text": b"# words", "cut": whole[:500]}.items():
        (tmp_path / name).write_bytes(content)
        page.get_by_label("Receipt", exact=True).set_input_files(tmp_path / name)
        expect(page.locator("main .problem")).to_contain_text(f"This is no receipt{name}:")
        expect(page.locator("ol.links")).to_have_count(0)
        expect(page.get_by_text("does not hold")).to_have_count(0)


def test_a_page_tells_what_authorities_decided_and_how_a_case_ended(
    page: Page, tmp_path: Path
) -> None:
    with Served(tmp_path, open_readings=1) as served:
        served.do(lambda bureau: bureau.grow_with({"c1": (0, 0)}, 1))
        visit(page, served, f"zone/z1/{START_S}")
        expect(page.locator("main")).to_contain_text("nothing is settled until authorities decide")
        served.do(lambda bureau: bureau.grow(1, decided(bureau.chain.genesis)))
        visit(page, served, "block/2")
        expect(page.locator("main")).to_contain_text("2 changes by authorities")
        expect(page.locator("main")).to_contain_text("Unmetered load l9 is added")
        expect(page.locator("main")).to_contain_text("The case of zone z1, window of 15 Jun 2025")
        expect(page.locator("main")).to_contain_text("Signed byProvincial")
        visit(page, served, f"zone/z1/{START_S}")
        expect(page.locator("main")).to_contain_text("Its case was dismissed: nothing is credited")
        expect(page.locator("main")).to_contain_text("The finding: “an open switch”")
        expect(page.get_by_text("until authorities decide")).to_have_count(0)
        page.goto("about:blank")  # Nobody listens when the validator stops.


def decided(genesis: Genesis) -> tuple[Transaction, ...]:
    """A street lamp is registered, and the first window's case is dismissed."""
    bodies: tuple[Body, ...] = (
        Entry("add-unmetered", LOAD | {"id": "l9"}, starts(3)),
        ResolveCase("z1", START_S, 0, DISMISS, "an open switch"),
    )
    return tuple(
        signed(each, ["PEA"], genesis, nonce=bytes([place]) * 16)
        for place, each in enumerate(bodies)
    )


def test_a_household_reads_what_its_meter_says_in_words(page: Page, tmp_path: Path) -> None:
    with Served(tmp_path, open_readings=1) as served:
        served.do(reporting_meter)
        visit(page, served, "meter/c1")
        expect(page.locator("tbody tr").first).to_contain_text("cover open, key in plain flash")
        page.locator("tbody a").first.click()
        expect(page.locator("main dl")).to_contain_text("It sayscover open, key in plain flash")
        page.goto("about:blank")  # Nobody listens when the validator stops.


def reporting_meter(bureau: Bureau) -> None:
    """One interval, in which c1 says that its cover is open and its key lies in flash."""
    village = bureau.chain.village
    readings = village.close(0, c1=None)
    readings["c1"] = village.meters["c1"].close(0, 500, 0, status=1 << 8 | 1 << 19)
    bureau.chain.append([village.batch(readings.values(), 0)], 0)


def test_a_table_wider_than_a_phone_says_that_it_slides_and_shows_the_verdict_first(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    visit(page, served, "zones")
    verdict = page.locator("td .verdict").bounding_box()
    assert verdict is not None
    assert verdict["x"] + verdict["width"] <= PHONE["width"]
    sign = page.get_by_text("There is more to the right")
    expect(sign).to_be_visible()
    page.locator(".scroll").evaluate("each => { each.scrollLeft = each.scrollWidth; }")
    expect(sign).to_be_hidden()
    context.close()


def test_a_private_meter_opens_with_its_holders_link_only(browser: Browser, tmp_path: Path) -> None:
    secret = HolderSecret.make()
    with Served(tmp_path, open_readings=0) as served:
        served.do(lambda bureau: bureau.grow(2))
        page = browser.new_page()
        visit(page, served, "meter/c1")
        expect(page.locator("main")).to_contain_text("they open with its holder's link")
        page.goto(f"{served.address}/#/meter/c1/{secret.text}")
        expect(page.locator("main")).to_contain_text("does not open this meter")
        assert secret.text not in page.url
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_satisfies_axe(
    browser: Browser, served: Served, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)
    page = context.new_page()
    faults = []
    for name in PAGES:
        visit(page, served, name)
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        found = Axe().run(page).response["violations"]
        faults += [(name, each["id"], each["nodes"][0]["html"][:90]) for each in found]
        faults += [(name, "wider than the screen", "")] if wide else []
    context.close()
    assert faults == []


def test_the_page_is_walked_by_keyboard(page: Page, served: Served) -> None:
    visit(page, served, "chain")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Zones")
    page.keyboard.press("Enter")
    expect(page.locator("main h1")).to_have_text("Zones")
    expect(page.locator("main")).to_be_focused()


def test_everything_comes_from_the_validator_itself(page: Page, served: Served) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in PAGES:
        visit(page, served, name)
    assert [url for url in asked if not url.startswith((served.address, "blob:"))] == []


@pytest.mark.skipif(not LIBRARIES.is_dir(), reason="Chart.js: apt install libjs-chart.js")
def test_a_meters_day_is_drawn(page: Page, served: Served) -> None:
    visit(page, served, "meter/c1")
    drawn = "() => { const c = document.querySelector('canvas'); return c && c.getContext('2d')"
    drawn += ".getImageData(0, 0, c.width, c.height).data.some((octet) => octet > 0) }"
    page.wait_for_function(drawn)


@pytest.mark.skipif(not LIBRARIES.is_dir(), reason="Chart.js: apt install libjs-chart.js")
def test_the_bars_of_a_day_have_no_border_that_would_hide_their_colour(
    page: Page, served: Served
) -> None:
    page.goto(f"{served.address}/#/meter/c1")
    page.wait_for_function(
        "() => globalThis.Chart && Chart.getChart(document.querySelector('canvas'))"
    )
    bar = "Chart.getChart(document.querySelector('canvas')).getDatasetMeta(0).data[0].options"
    assert page.evaluate(f"() => {bar}.borderWidth") == 0


def test_without_chart_js_the_table_says_the_same(browser: Browser, served: Served) -> None:
    page = browser.new_page()
    page.route("**/libraries/**", lambda route: route.abort())
    visit(page, served, "meter/c1")
    expect(page.locator("main")).to_contain_text("No chart")
    assert page.locator("tbody tr").count() >= 4
    page.close()

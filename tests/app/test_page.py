"""The page in a real browser, used as a person does; and what somebody who means harm would try."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from test_work import zipped

from indi.app import training
from indi.io import Image, write
from indi.models import pretrained
from indi.models.checkpoint import save_model
from indi.process import DEFAULT_REALISM
from indi.restoration.restorer import load
from problems import tiny_model, write_pairs

gradio = pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.medium,
    pytest.mark.filterwarnings("ignore"),  # of gradio's own making
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
WAIT = 60_000  # ms


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_model(tiny_model(1, epsilon=0.05), folder)
    return folder


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawing")
    save_model(tiny_model(1, name="distributional"), folder)
    return folder


@pytest.fixture(scope="module")
def address(run: Path, drawing: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        from indi.app import page

        patch.setattr(page, "MOST_BYTES", 2_000_000)
        patch.setattr(pretrained, "WEIGHTS", run / "none")
        served = page.serve({"mine": run, "draws": drawing}, port=7899, show=False)
        yield served.local_url.rstrip("/")
        served.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT)
    abroad: list[str] = []
    page.on("request", lambda request: abroad.append(request.url) if address not in request.url else None)
    page.goto(address)
    page.get_by_text("Drop an image to begin").wait_for()
    yield page
    page.close()
    assert [url for url in abroad if url.startswith("http")] == []  # no font, no script, no tracker from elsewhere


def drop(page: Any, number: int, path: Path) -> None:
    """Give a file to a visible drop area, counted from the top of the page."""
    page.locator("input[type=file]:not([disabled])").nth(number).set_input_files(path)


def drop_both(page: Any, *archives: Path) -> None:
    """Give archives to the visible drop areas from the top; one that holds a file is no drop area any more."""
    for archive in archives:
        panel = page.get_by_role("tabpanel").locator("visible=true")
        panel.locator("input[type=file]").first.set_input_files(archive)
        panel.get_by_text(archive.stem, exact=True).or_(panel.get_by_text(archive.name, exact=True)).first.wait_for()


def begin_long_work(page: Any, folder: Path) -> None:
    """Drop an image and restore it in fifty steps; return while they go on."""
    write(folder / "a.png", Image(np.random.default_rng(0).integers(0, 256, (700, 900), np.uint8)))
    drop(page, 0, folder / "a.png")
    page.get_by_text("900 x 700 pixels").wait_for()
    page.get_by_label("number input for Steps").fill("50")
    page.get_by_label("number input for Steps").press("Enter")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("of 50").wait_for()


def test_an_image_is_restored_and_comes_back_in_its_depth(page: Any, run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (60, 80), np.uint16)
    write(tmp_path / "slide.tif", Image(pixels))
    drop(page, 0, tmp_path / "slide.tif")
    page.get_by_text("80 x 60 pixels").wait_for()
    page.get_by_label("number input for Steps").fill("3")
    page.get_by_label("number input for Steps").press("Enter")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("done", exact=True).wait_for()
    assert page.get_by_text("step 3", exact=True).count() >= 1
    with page.expect_download() as download:
        page.locator("a[download]").filter(has_text="KB").last.click()
    download.value.save_as(tmp_path / "back.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "back.tif"), load(run).restore(pixels, steps=3))


def choose(page: Any, model: str) -> None:
    """Choose a model in the tab that is open."""
    page.get_by_label("Model").locator("visible=true").click()
    page.get_by_role("option", name=model, exact=True).click()


def test_a_model_that_draws_has_a_dial_in_place_of_steps(page: Any) -> None:
    steps, realism = (page.get_by_label(f"number input for {name}") for name in ("Steps", "Realism"))
    strength = page.get_by_label("number input for Strength")
    page.get_by_role("button", name="More").click()
    strength.wait_for()
    assert steps.is_visible()
    assert not realism.is_visible()
    choose(page, "draws")
    realism.wait_for()
    assert realism.input_value() == "0.6"
    assert page.get_by_label("number input for Samples").is_visible()
    strength.wait_for(state="hidden")
    assert not steps.is_visible()
    choose(page, "mine")
    steps.wait_for()
    strength.wait_for()
    assert not realism.is_visible()

    page.get_by_role("tab", name="Measure").click()
    page.get_by_label("Numbers of steps").wait_for()
    choose(page, "draws")
    page.get_by_text("measured at realism 0, 0.25, 0.5, 0.75, 1").wait_for()
    assert not page.get_by_label("Numbers of steps").is_visible()


@pytest.mark.parametrize("dial", [None, 0.85])
def test_an_image_is_drawn_as_the_dial_says(page: Any, drawing: Path, tmp_path: Path, dial: float | None) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (60, 80), np.uint16)
    write(tmp_path / "slide.tif", Image(pixels))
    drop(page, 0, tmp_path / "slide.tif")
    page.get_by_text("80 x 60 pixels").wait_for()
    choose(page, "draws")
    realism = page.get_by_label("number input for Realism")
    realism.wait_for()
    if dial is not None:
        realism.fill(str(dial))
        realism.press("Enter")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("done", exact=True).wait_for()
    with page.expect_download() as download:
        page.locator("a[download]").filter(has_text="KB").last.click()
    download.value.save_as(tmp_path / "back.tif")
    wanted = load(drawing).restore(pixels, realism=DEFAULT_REALISM if dial is None else dial)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "back.tif"), wanted)
    assert not page.get_by_text("The walk, step by step").is_visible()


def test_a_model_trained_to_draw_comes_with_its_dial(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_PREVIEW_EVERY", 5)
    folders = write_pairs(tmp_path, count=6, size=(64, 64))
    page.get_by_role("tab", name="Train").click()
    drop_both(page, zipped(folders["clean"]), zipped(folders["degraded"]))
    page.get_by_label("One call with a dial of realism").check()
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_text("Degraded, realism 0, realism 1, clean").wait_for()
    page.get_by_role("button", name="Stop and keep").click()
    page.get_by_text("done: choose “yours, 1”").wait_for()
    page.get_by_role("tab", name="Restore").click()
    page.get_by_label("number input for Realism").wait_for()
    assert page.get_by_label("Model").locator("visible=true").input_value() == "yours, 1"
    assert not page.get_by_label("number input for Steps").is_visible()


@pytest.mark.parametrize("first", ["draws", "mine"])
def test_the_model_that_is_chosen_at_first_has_its_own_dial(first: str, run: Path, drawing: Path) -> None:
    from indi.app.page import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "WEIGHTS", run / "none")
        laid_out = build({first: drawing if first == "draws" else run})
    shown = {block["props"].get("label"): block["props"].get("visible") for block in laid_out.config["components"]}
    assert shown["Realism"] == (first == "draws")
    assert shown["Steps"] == shown["Strength"] == shown["Numbers of steps"] == (first == "mine")


def test_a_broken_file_is_a_sentence(page: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot one")
    drop(page, 0, tmp_path / "broken.png")
    alert = page.get_by_role("alert").filter(has_text="broken.png")
    alert.wait_for()
    assert "Traceback" not in page.content()
    assert str(tmp_path) not in alert.inner_text()
    assert "/" not in alert.inner_text().replace("and/or", "")
    assert alert.inner_text().count("broken.png") == 1
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("drop an image first").wait_for()
    write(tmp_path / "whole.png", Image(np.zeros((60, 80), np.uint8)))
    drop(page, 0, tmp_path / "whole.png")
    page.get_by_text("80 x 60 pixels").wait_for()


def test_there_is_a_photograph_to_try(page: Any) -> None:
    page.get_by_role("button", name="Try it on a photograph").click()
    page.get_by_text("512 x 512 pixels").wait_for()
    page.get_by_text("Before and after", exact=True).wait_for()


def test_a_restoration_can_be_stopped(page: Any, tmp_path: Path) -> None:
    begin_long_work(page, tmp_path)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("stopped at step").wait_for()


def test_another_image_ends_what_was_at_work_on_the_first(page: Any, tmp_path: Path) -> None:
    write(tmp_path / "b.png", Image(np.zeros((60, 80), np.uint8)))
    begin_long_work(page, tmp_path)
    page.get_by_label("Clear").first.click()
    page.get_by_text("Drop an image to begin").wait_for()
    drop(page, 0, tmp_path / "b.png")
    page.get_by_text("80 x 60 pixels").wait_for()
    time.sleep(1)
    assert page.get_by_text("80 x 60 pixels").is_visible()  # nothing of the first comes after it
    assert not page.get_by_text("The walk, step by step").is_visible()
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("done", exact=True).wait_for()


def test_a_model_is_trained_chosen_and_measured(page: Any, browser: Any, address: str, tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=6, size=(64, 64))
    clean, degraded = zipped(folders["clean"]), zipped(folders["degraded"])

    def train(page: Any) -> None:
        page.get_by_role("tab", name="Train").click()
        drop_both(page, clean, degraded)
        page.get_by_label("Small steps (InDI)").locator("visible=true").check()
        page.get_by_role("button", name="Train", exact=True).click()

    train(page)
    page.get_by_text("crops a second").wait_for()
    other = browser.new_page()
    other.goto(address)
    other.get_by_text("Drop an image to begin").wait_for()
    train(other)
    other.get_by_text("waiting for its turn").wait_for()
    other.get_by_role("button", name="Stop and keep").click()
    other.get_by_text("stopping").wait_for()
    page.get_by_role("button", name="Stop and keep").click()
    page.get_by_text("done: choose “yours, 1”").wait_for()
    other.get_by_text("stopped before it began").wait_for()
    other.close()

    page.get_by_role("tab", name="Measure").click()
    drop_both(page, clean, degraded)
    page.get_by_label("Numbers of steps").fill("1, 2")
    assert page.get_by_label("Model").locator("visible=true").input_value() == "yours, 1"
    page.get_by_role("button", name="Measure", exact=True).click()
    page.get_by_text("done", exact=True).locator("visible=true").wait_for()
    page.get_by_text("PSNR (dB)").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Any, address: str, tmp_path: Path, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.goto(address)
    page.get_by_text("Drop an image to begin").wait_for()
    write(tmp_path / "a.png", Image(np.random.default_rng(0).integers(0, 256, (120, 900), np.uint8)))
    drop(page, 0, tmp_path / "a.png")
    page.get_by_text("900 x 120 pixels").wait_for()
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("done", exact=True).wait_for()
    page.get_by_role("tab", name="Measure").click()
    drop_both(page, zipped(write_pairs(tmp_path, count=2, size=(64, 64))["clean"]))
    page.get_by_label("Degraded images come from").locator("visible=true").click()
    page.get_by_role("option", name="denoise", exact=True).click()
    page.get_by_label("Numbers of steps").fill("1")
    page.get_by_role("button", name="Measure", exact=True).click()
    page.get_by_text("done", exact=True).locator("visible=true").wait_for()
    page.get_by_text("PSNR (dB)").first.wait_for()
    for tab in ("Measure", "Train", "Restore"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(value) for value in background[4:-1].split(",")[:3]) < 200
    assert dark == (scheme == "dark"), background
    page.close()


def status_of(url: str, data: bytes | None = None, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_only_this_machine_and_its_own_page_are_answered(address: str) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\nx\r\n--b--\r\n'
    assert status_of(f"{address}/config") == 200
    assert status_of(f"{address}/config", Host="evil.example:7899") == 403
    upload = f"{address}/gradio_api/upload"
    assert status_of(upload, body, **kind) == 200
    assert status_of(upload, body, **kind, Origin=address) == 200
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        assert status_of(upload, body, **kind, Origin=origin) == 403


@pytest.mark.parametrize("at_work", [False, True])
def test_an_interrupt_ends_the_server_whatever_is_at_work(run: Path, tmp_path: Path, at_work: bool) -> None:
    begun = """
import os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from indi.app import page
served = page.serve({}, port=7898, show=False)
if sys.argv[1] == "True":
    ThreadPoolExecutor(1).submit(time.sleep, 600)
print(page.close_all and served.own_folder.name, flush=True)
served.block_thread()
"""
    command = [sys.executable, "-c", begun, str(at_work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert folder.is_dir()
    with urllib.request.urlopen("http://127.0.0.1:7898/gradio_api/heartbeat/visitor"):  # which stays open
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert time.monotonic() - began < 5
    assert not folder.exists()


def test_no_file_of_the_machine_can_be_read(address: str, run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    places = [secret, run / "model.safetensors", Path("/etc/passwd"), Path.cwd() / "pyproject.toml"]
    for place in places:
        assert status_of(f"{address}/gradio_api/file={place}") in (403, 404), place
    assert status_of(f"{address}/gradio_api/file=../../../../etc/passwd") in (403, 404)


def test_an_upload_that_is_too_large_is_refused(address: str) -> None:
    border = "----b"
    head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'.encode()
    body = head + bytes(3_000_000) + f"\r\n--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    assert status_of(f"{address}/gradio_api/upload", body, **kind) == 413


def test_the_page_is_no_interface_for_programs(address: str) -> None:
    info = json.loads(urllib.request.urlopen(f"{address}/gradio_api/info").read())
    assert info["named_endpoints"] == info["unnamed_endpoints"] == {}


def asked(address: str, visitor: str, function: int, data: list[Any]) -> str:
    """Call a function of the page as a browser does; return all that came back."""
    call = {"data": data, "fn_index": function, "session_hash": visitor}
    content, kind = json.dumps(call).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/gradio_api/queue/join", content, kind)
    event = json.loads(urllib.request.urlopen(request).read())["event_id"]
    heard = ""
    with urllib.request.urlopen(f"{address}/gradio_api/queue/data?session_hash={visitor}") as answers:
        for line in map(bytes.decode, answers):
            heard += line
            if "process_completed" in line and event in line:
                break
    return heard


def test_fifty_visitors_at_once_are_served(address: str, run: Path, page: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)))
    border = "----b"
    head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'.encode()
    body = head + (tmp_path / "a.png").read_bytes() + f"\r\n--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    request = urllib.request.Request(f"{address}/gradio_api/upload", body, kind)
    (uploaded,) = json.loads(urllib.request.urlopen(request).read())
    file = {"path": uploaded, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    functions = json.loads(urllib.request.urlopen(f"{address}/config").read())["dependencies"]
    (load,) = (each["id"] for each in functions if each["targets"][0][1] == "load")
    (restore,) = (each["id"] for each in functions if len(each["inputs"]) == 9)

    def visit(number: int) -> bool:
        visitor = f"visitor{number}"
        asked(address, visitor, load, [])
        return ">done<" in asked(address, visitor, restore, [None, file, "mine", 1, 2, 1, 0, 0.5, 1])

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(visit, range(50)))
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_text("drop an image first").wait_for()
    assert threading.active_count() < 200

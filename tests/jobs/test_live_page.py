"""The live page: what it answers, to whom, and that it refreshes itself in a browser."""

import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from jobs.parts.live_page import REPORTS_EVERY, LivePage, server_of
from jobs.show_run import Config, main
from raypipe.storage.folder import Folder
from tests.report.browser import CHROMIUM, Browser

HOSTILE = "<script>document.title='bad'</script>\x1b[31m"


def write(folder: Folder, status: str, warning: str = "") -> None:
    folder.write("run.json", json.dumps({"name": "small", "status": status, "stages": ["scores"]}).encode())
    card = {"stage": "scores", "status": status, "warnings": [warning] if warning else [], "identity": {}}
    folder.write("scores/card.json", json.dumps(card).encode())


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path / "run"))
    write(folder, "running")
    return folder


@pytest.fixture
def live(run: Folder) -> Iterator[tuple[LivePage, int]]:
    found = LivePage(run, every_s=0.2)
    with server_of(found, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield found, server.server_address[1]
        server.shutdown()
        thread.join()


def ask(port: int, path: str, host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_state_and_report_are_those_of_the_run_as_it_is_now(live, run):
    _, port = live
    status, shell, headers = ask(port, "/")
    assert status == 200
    assert 'src="/report"' in shell
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "small: running" in json.loads(ask(port, "/state")[1])["state"]
    assert "<bdi>running</bdi>" in ask(port, "/report")[1]
    write(run, "incomplete", HOSTILE)
    found = json.loads(ask(port, "/state")[1])["state"]
    assert "small: incomplete" in found
    assert "\x1b" not in found
    assert not run.exists("report.html")


def test_a_report_is_made_anew_once_the_state_is_another_and_it_is_old_enough(run, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("jobs.parts.live_page.time.monotonic", lambda: now[0])
    live = LivePage(run, every_s=2.0)
    assert live.version("a") == live.version("a") == 1
    first = live.report()
    write(run, "finished")
    assert live.version("b") == 1
    assert live.report() is first
    now[0] += REPORTS_EVERY * 2.0 + 1
    assert live.version("a") == 1
    assert live.version("b") == 2
    assert live.report() != first


def test_pages_of_other_sites_and_other_paths_get_nothing(live):
    _, port = live
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1"):
        assert ask(port, "/state", host)[:2] == (403, "asked for by another name")
    assert ask(port, "/state", f"localhost:{port}")[0] == 200
    assert ask(port, "/../run.json")[0] == 404


def test_a_run_that_is_gone_is_an_answer_too(live, run):
    _, port = live
    run.delete("run.json")
    run.delete("scores/card.json")
    status, said, _ = ask(port, "/state")
    assert status == 503
    assert "holds no run" in said


def test_settings_of_the_page_need_it_and_a_folder_must_hold_a_run(tmp_path):
    with pytest.raises(ValueError, match="--port has no effect without --serve"):
        main(Config(run=str(tmp_path), port=1))
    with pytest.raises(SystemExit, match="holds no run"):
        main(Config(run=str(tmp_path / "nothing"), serve=True, port=0))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_in_a_browser_it_refreshes_itself(live, run):
    _, port = live
    write(run, "running", HOSTILE)
    with Browser() as browser:
        browser.call("Page.navigate", url=f"http://127.0.0.1:{port}/")

        def wait_for(expression: str) -> None:
            for _ in range(200):
                if browser.evaluate(expression):
                    return
                time.sleep(0.1)
            raise AssertionError(f"never: {expression}")

        state = "document.getElementById('state')?.textContent ?? ''"
        report = "document.getElementById('report')?.contentDocument?.body?.textContent ?? ''"
        wait_for(f"({state}).includes('small: running') && ({report}).includes('running')")
        write(run, "finished")
        wait_for(f"({state}).includes('small: finished')")
        wait_for(f"({report}).includes('finished')")
        assert browser.evaluate("document.title") == "raypipe, live"
        assert browser.named("Runtime.exceptionThrown") == []
        asked = {event["request"]["url"] for event in browser.named("Network.requestWillBeSent")}
        assert {url.split("/")[2] for url in asked} == {f"127.0.0.1:{port}"}

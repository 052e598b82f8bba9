"""Downloading, against a stand-in for the hub on this machine."""

import hashlib
import http.server
import json
import threading

import pytest

from copgen_jax.checkpoints.hub import RECORD, download
from copgen_jax.cli import main
from copgen_jax.errors import InputError

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# weights\n",
    "500000_nnet_ema.pth": bytes(range(256)) * 4096,
    "vae/DEM/model-50-ema.pth": b"dem" * 1000,
    "run.py": b"print('never fetched')\n",
}


class Hub:
    """What a stand-in hub lists and serves, and what it was asked for."""

    def __init__(self):
        self.files = dict(FILES)
        self.listed = dict(FILES)
        self.asked: list[tuple[str, str | None]] = []
        self.break_after: int | None = None

    def tree(self) -> list[dict]:
        return [self._entry(name, data) for name, data in self.listed.items()]

    def _entry(self, name: str, data: bytes) -> dict:
        oid = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        entry = {"type": "file", "path": name, "size": len(data), "oid": oid}
        if name.endswith(".pth"):
            entry["lfs"] = {"size": len(data), "oid": hashlib.sha256(data).hexdigest(), "pointerSize": 130}
        return entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/owner/weights/revision/"):
            if path.endswith(("/main", "/v1", COMMIT)):
                return self._json({"id": "owner/weights", "modelId": "owner/weights", "sha": COMMIT, "siblings": []})
        elif path == f"/api/models/owner/weights/tree/{COMMIT}":
            return self._json(self.hub.tree())
        elif path.startswith(f"/owner/weights/resolve/{COMMIT}/"):
            name = path.removeprefix(f"/owner/weights/resolve/{COMMIT}/")
            if name in self.hub.files:
                return self._file(name, body)
        self.send_response(404)
        self.send_header("X-Error-Code", "RevisionNotFound" if "/revision/" in path else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, data) -> None:
        encoded = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _file(self, name: str, body: bool) -> None:
        data, ranged = self.hub.files[name], self.headers.get("Range")
        start = int(ranged.removeprefix("bytes=").split("-")[0]) if ranged else 0
        if body:
            self.hub.asked.append((name, ranged))
        self.send_response(206 if ranged else 200)
        self.send_header("ETag", '"' + hashlib.sha256(data).hexdigest() + '"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            sent = data[start:]
            if self.hub.break_after is not None and len(sent) > self.hub.break_after:
                self.wfile.write(sent[: self.hub.break_after])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(sent)


@pytest.fixture
def hub(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    hub = Hub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetches_verifies_and_records(hub, tmp_path):
    fetched = download("owner/weights", tmp_path, endpoint=hub.endpoint)
    assert fetched.commit == COMMIT
    assert set(fetched.files) == set(FILES) - {"run.py"}
    for name in fetched.files:
        assert (tmp_path / name).read_bytes() == FILES[name]
    assert not (tmp_path / "run.py").exists()
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["commit"] == COMMIT
    assert record["files"]["500000_nnet_ema.pth"]["sha256"] == hashlib.sha256(FILES["500000_nnet_ema.pth"]).hexdigest()


def test_a_second_run_fetches_only_what_is_missing_or_wrong(hub, tmp_path):
    download("owner/weights", tmp_path, endpoint=hub.endpoint)
    hub.asked.clear()
    download("owner/weights", tmp_path, endpoint=hub.endpoint, revision=COMMIT)
    assert hub.asked == []
    damaged = tmp_path / "vae/DEM/model-50-ema.pth"
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    download("owner/weights", tmp_path, endpoint=hub.endpoint)
    assert [name for name, _ in hub.asked] == ["vae/DEM/model-50-ema.pth"]
    assert damaged.read_bytes() == FILES["vae/DEM/model-50-ema.pth"]


def test_an_interrupted_download_is_continued(hub, tmp_path, monkeypatch):
    # The client keeps whole chunks; give up at the first interruption, as when the program is stopped.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", _stop)
    name = "500000_nnet_ema.pth"
    hub.break_after = 1 << 19
    with pytest.raises(KeyboardInterrupt):
        download("owner/weights", tmp_path, endpoint=hub.endpoint)
    assert not (tmp_path / name).exists()
    hub.break_after = None
    download("owner/weights", tmp_path, endpoint=hub.endpoint)
    assert (tmp_path / name).read_bytes() == FILES[name]
    first, second = [ranged for asked, ranged in hub.asked if asked == name]
    assert first is None
    assert int(second.removeprefix("bytes=").split("-")[0]) >= 1 << 16


def _stop(seconds):
    raise KeyboardInterrupt


def test_what_is_not_listed_so_is_removed(hub, tmp_path):
    hub.files["500000_nnet_ema.pth"] = bytes(len(FILES["500000_nnet_ema.pth"]))
    with pytest.raises(InputError, match="not what the hub lists"):
        download("owner/weights", tmp_path, endpoint=hub.endpoint)
    assert not (tmp_path / "500000_nnet_ema.pth").exists()
    assert not (tmp_path / RECORD).exists()


@pytest.mark.parametrize(
    "name", ["../evil.pth", "/evil.pth", "a/../../evil.pth", "a\\..\\evil.pth", ".ssh/evil.pth", "a//b.pth"]
)
def test_names_stay_inside(hub, tmp_path, name):
    hub.listed[name] = hub.files[name] = b"evil"
    with pytest.raises(InputError, match="not a plain path"):
        download("owner/weights", tmp_path / "out", endpoint=hub.endpoint)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_link_does_not_lead_out(hub, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "vae").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not a plain path"):
        download("owner/weights", tmp_path / "out", endpoint=hub.endpoint)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_unknown_repository_and_no_hub(hub, tmp_path):
    with pytest.raises(InputError, match="cannot fetch owner/absent"):
        download("owner/absent", tmp_path, endpoint=hub.endpoint)
    with pytest.raises(InputError, match="at revision v9"):
        download("owner/weights", tmp_path, endpoint=hub.endpoint, revision="v9")
    with pytest.raises(InputError, match="cannot fetch a/b/c"):
        download("a/b/c", tmp_path, endpoint=hub.endpoint)
    with pytest.raises(InputError, match="lost the hub"):
        download("owner/weights", tmp_path, endpoint="http://127.0.0.1:9")


def test_a_place_that_cannot_be_written_to(hub, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="cannot write to"):
        download("owner/weights", tmp_path / "out", endpoint=hub.endpoint)


def test_command(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    arguments = ["download", "--repository", "owner/weights", "--revision", "v1", "--out", str(tmp_path), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["owner/weights"]["commit"] == COMMIT
    assert (tmp_path / "weights" / "README.md").exists()
    assert main(["download", "--revision", "v1", "--out", str(tmp_path)]) == 2

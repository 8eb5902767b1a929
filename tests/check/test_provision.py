"""``provision`` as a command: what it prints, and what it will not."""

from __future__ import annotations

import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest

from voxtra_core.cli import main
from voxtra_core.queueing import CONTEXT, QueueEntry

EXTENSION = ["--extension", "100"]


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """The files it prints, by name."""
    assert main(["provision", *EXTENSION, *options], backend="asyncio") == 0
    said = capsys.readouterr()
    assert said.err == ""
    names = re.findall(r"^; (\w+\.conf)$", said.out, re.MULTILINE)
    contents = re.split(r"^; \w+\.conf\n", said.out, flags=re.MULTILINE)
    assert contents[0] == ""
    return dict(zip(names, contents[1:], strict=True))


def sections(text: str) -> dict[str, dict[str, str]]:
    """A file of sections and settings; each once."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_dialplan_alone(capsys: pytest.CaptureFixture[str]) -> None:
    files = printed(capsys, "--app", "ivr", "--context", "in", "--retry", "7", "--fallback", "VoiceMail(100)")
    assert list(files) == ["extensions.conf"]
    lines = files["extensions.conf"].splitlines()
    assert lines[0] == "[in]"
    assert lines[1].startswith("exten => 100,1,")
    assert " same => n(try),Stasis(ivr)" in lines
    assert " same => n(away),VoiceMail(100)" in lines
    assert "$[${EPOCH} + 7]" in files["extensions.conf"]


@pytest.mark.parametrize("page", ["asterisk.md", "queues.md"])
def test_the_documentation_shows_what_is_printed(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / page).read_text()
    command = re.search(r"^    voxtra (provision .*)$", page, re.MULTILINE)
    assert command is not None
    assert main(shlex.split(command[1]), backend="asyncio") == 0
    assert f"```ini\n{capsys.readouterr().out}```" in page


def test_a_dialplan_jumps_only_to_where_there_is_something(capsys: pytest.CaptureFixture[str]) -> None:
    dialplan = printed(capsys)["extensions.conf"]
    labels = set(re.findall(r"=> n\((\w+)\)", dialplan))
    assert set(re.findall(r"\?(\w+)\)$|Goto\((\w+)\)$", dialplan, re.MULTILINE)) == {
        ("done", ""),
        ("away", ""),
        ("", "try"),
    }
    assert labels == {"try", "away", "done"}


def test_a_queue_gets_all_it_has_to_know_from_the_channel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["provision", "--queues", "--retry", "7", "--fallback", "VoiceMail(100)"], backend="asyncio") == 0
    text = capsys.readouterr().out
    file, context, *lines = text.splitlines()
    assert (file, context) == ("; extensions.conf", f"[{CONTEXT}]")
    assert lines[0].startswith("exten => s,1,")
    assert " same => n,Queue(${VOXTRA_QUEUE},${VOXTRA_QUEUE_OPTIONS},,,${VOXTRA_QUEUE_TIMEOUT})" in lines
    back = "Stasis(${VOXTRA_QUEUE_APP},queue,${QUEUESTATUS},${VOXTRA_QUEUE},${VOXTRA_QUEUE_CALLED})"
    assert f" same => n(try),{back}" in lines
    assert " same => n(away),VoiceMail(100)" in lines
    assert set(re.findall(r"\$\{(VOXTRA_QUEUE\w*)\}", text)) == set(QueueEntry("support").variables("app", "100"))


def test_a_queue_beside_an_extension(capsys: pytest.CaptureFixture[str]) -> None:
    (queues,) = printed(capsys, "--queues").values()
    (dialplan,) = printed(capsys).values()
    assert queues.startswith(f"{dialplan}\n[{CONTEXT}]\n")
    assert list(printed(capsys, "--queues", "--ari")) == ["extensions.conf", "http.conf", "ari.conf"]


def test_something_has_to_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["provision"], backend="asyncio") == 1
    assert "--extension says which calls" in capsys.readouterr().err


def test_no_password_unless_it_is_given(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRA_ARI_PASSWORD", "s3cret-sesame")
    files = printed(capsys, "--ari", "--listen", "ws://10.0.0.5:8090/")
    assert "sesame" not in "".join(files.values())
    assert sections(files["ari.conf"])["voxtra"]["password"] == "CHANGE-THIS"
    assert sections(files["websocket_client.conf"])["voxtra-voxtra"]["password"] == "CHANGE-THIS"
    files = printed(capsys, "--ari", "--user", "bob", "--password", "another-sesame")
    assert sections(files["ari.conf"])["bob"] == {"type": "user", "read_only": "no", "password": "another-sesame"}


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ([], ["extensions.conf"]),
        (["--ari"], ["extensions.conf", "http.conf", "ari.conf"]),
        (["--listen", "ws://a:1"], ["extensions.conf", "ari.conf", "websocket_client.conf"]),
        (["--ari", "--listen", "ws://a:1"], ["extensions.conf", "http.conf", "ari.conf", "websocket_client.conf"]),
    ],
)
def test_which_files(options: list[str], files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(printed(capsys, *options)) == files


@pytest.mark.parametrize(
    ("options", "kind", "tls"),
    [
        (["--listen", "ws://10.0.0.5:8090/"], "persistent", None),
        (["--listen", "wss://voice.example.com/", "--per-call"], "per_call_config", "yes"),
    ],
)
def test_asterisk_connects(options: list[str], kind: str, tls: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    files = printed(capsys, "--app", "ivr", *options)
    ari, client = sections(files["ari.conf"]), sections(files["websocket_client.conf"])
    outbound = ari["voxtra-ivr"]
    assert (outbound["type"], outbound["apps"]) == ("outbound_websocket", "ivr")
    assert ari[outbound["local_ari_user"]]["type"] == "user"
    settings = client[outbound["websocket_client_id"]]
    assert (settings["connection_type"], settings["uri"], settings.get("tls_enabled")) == (kind, options[1], tls)
    assert (settings["type"], settings["protocols"]) == ("websocket_client", "ari")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--app", "a b"], "--app must not be empty, nor contain a space"),
        (["--app", "${X}"], "--app must not be empty, nor contain"),
        (["--app", "a,b"], "--app must not contain a comma"),
        (["--extension", "1,2"], "--extension must not be empty, nor contain anything but"),
        (["--extension", ""], "--extension must not be empty"),
        (["--extension", "1" * 80], "--extension must not be longer than 79"),
        (["--context", "in;out"], "--context must not be empty, nor contain"),
        (["--retry", "0"], "--retry must be 1 to 3600 seconds, not 0"),
        (["--retry", "3601"], "--retry must be 1 to 3600 seconds, not 3601"),
        (["--fallback", ""], "--fallback must be one application"),
        (["--fallback", "Hangup()\n same => n,System(x)"], "--fallback must be one application"),
        (["--fallback", "NoOp();"], "--fallback must be one application"),
        (["--per-call"], "--per-call goes with --listen"),
        (["--listen", "http://a:1"], "--listen must look like ws://"),
        (["--listen", "ws://u:secret@a:1"], "--listen must look like ws://"),
        (["--listen", "ws://a:99999"], "--listen must look like ws://"),
        (["--listen", "ws://[a"], "--listen must look like ws://"),
        (["--ari", "--user", "a:b"], "an ARI user's name cannot contain a colon"),
        (["--ari", "--user", "general"], "--user must not be"),
        (["--app", "x", "--listen", "ws://a:1", "--user", "voxtra-x"], "--user must not be"),
        (["--ari", "--password", "se;same"], "--password must not be empty, nor contain"),
    ],
)
def test_what_cannot_be_right_is_refused(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["provision", *EXTENSION, *options], backend="asyncio") == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"python -m voxtra_asyncio: {words}")
    assert said.out == ""
    assert "secret" not in said.err
    assert "same" not in said.err.replace(" same =>", "")

"""`manage.py evaluate`: exit codes, reports, and a replay that needs neither worker nor key."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from django.core.management import ManagementUtility

from runs.execution.worker import Worker
from runs.models import Run
from tests.evals.builders import a_case, a_dataset, an_echo, changed
from tests.people import Team

pytestmark = pytest.mark.timeout(120)


def evaluate(*arguments: str) -> int:
    """Return the exit code of the command."""
    with pytest.raises(SystemExit) as exit_:
        ManagementUtility(["manage.py", "evaluate", *arguments, "--workspace", "acme"]).execute()
    return int(exit_.value.code or 0)


def test_the_gate_decides_the_exit_code_and_the_reports_say_why(
    team: Team, worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    echo = an_echo(team)
    changed(team, echo, "Well: ${input.text}")
    texts = [f"Hello {number}" for number in range(5)]
    a_dataset(
        team,
        *(a_case(text, text, expected_output=text) for text in texts),
        a_case("Bell\x1b & <b>", "Hello", expected_output="Hello"),
    )
    files = ("--junit", str(tmp_path / "junit.xml"), "--json", str(tmp_path / "report.json"))

    assert evaluate("echo@1", "--dataset", "greetings@1", "--min-pass-rate", "1", "--repeats", "1", *files) == 0
    assert "6 cases, score 1.000, 100.0% passed" in capsys.readouterr().out
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "0", "0")

    gate = ("--min-pass-rate", "0.5", "--max-regression", "0.1", "--baseline", "1")
    assert evaluate("echo", "--dataset", "greetings", "--repeats", "1", *gate, *files) == 100
    said = capsys.readouterr().out
    assert "Against v1: worse, -1.000" in said
    assert "Gate missed. Pass rate: 0.0% passed" in said
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("8", "8")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["version"], report["comparison"]["verdict"], len(report["results"])) == (2, "worse", 6)
    assert report["results"][0]["output"] == "Well: Hello 0"

    runs = Run.objects.count()
    assert (
        evaluate("echo@1", "--dataset", "greetings", "--repeats", "1", "--min-pass-rate", "1", "--replay", *files) == 0
    )
    assert Run.objects.count() == runs
    assert json.loads((tmp_path / "report.json").read_text())["replay"] is True


def test_an_answer_that_could_not_be_scored_is_an_error(team: Team, worker: Worker) -> None:
    an_echo(team)
    a_dataset(team, {"name": "misfit", "inputs": {"txet": "Hello"}, "expected_output": "Hello"})
    assert evaluate("echo", "--dataset", "greetings", "--repeats", "1") == 1
    assert evaluate("echo", "--dataset", "greetings", "--repeats", "1", "--min-pass-rate", "0.5") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("echo",),
        ("nowhere", "--dataset", "greetings"),
        ("echo", "--dataset", "nowhere"),
        ("echo", "--dataset", "greetings@x"),
        ("echo", "--dataset", "greetings@9"),
        ("echo@9", "--dataset", "greetings"),
        ("echo", "--dataset", "greetings", "--min-pass-rate", "80"),
        ("echo", "--dataset", "greetings", "--max-cost", "lots"),
        ("echo", "--dataset", "greetings", "--max-regression", "0.1"),
        ("echo", "--dataset", "greetings", "--replay"),
        ("echo", "--dataset", "greetings", "--user", "nobody@example.com"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(team: Team, arguments: tuple[str, ...]) -> None:
    an_echo(team)
    a_dataset(team, a_case("one", "Hello", expected_output="Hello"))
    assert evaluate(*arguments) == 2
    assert not Run.objects.exists()


def test_without_a_worker_it_says_so_after_its_time(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    an_echo(team)
    a_dataset(team, a_case("one", "Hello", expected_output="Hello"))
    assert evaluate("echo", "--dataset", "greetings", "--timeout", "0.1") == 1
    assert "Is a worker up?" in capsys.readouterr().err

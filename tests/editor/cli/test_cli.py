"""The command line: exit statuses, files, one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.editor.cli.main import main
from groundbrush.editor.cli.options import add_command
from groundbrush.editor.doctor import Finding, issue_text
from groundbrush.editor.pictures.picture import open_picture, read_recipe
from groundbrush.miniature.scenes import Scene
from PIL import Image

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _one_load(monkeypatch: pytest.MonkeyPatch, miniature: Editor) -> None:
    """Commands share the session's loaded models; everything else is the real path."""
    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: miniature))


def test_ground_writes_the_overlay_and_says_where(
    scene_file: tuple[Path, Scene, object], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, scene, asked = scene_file
    assert main(["ground", str(path), asked.text, "--out", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["status"] != "absent"
    assert len(facts["box"]) == 4
    overlay = np.asarray(Image.open(facts["overlay"]))
    assert overlay.shape == scene.image.shape


def test_edit_writes_picture_overlay_and_recipe(
    scene_file: tuple[Path, Scene, object], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, _, asked = scene_file
    command = [
        "edit",
        str(path),
        "--find",
        asked.text,
        "--paint",
        "a red balloon",
        "--seed",
        "5",
        "--steps",
        "3",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    assert main(command) == 0
    assert "every other pixel equals the input's" in capsys.readouterr().out
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["scene.edited.png", "scene.overlay.png", "scene.recipe.json"]
    first = np.asarray(Image.open(tmp_path / "scene.edited.png"))
    again = tmp_path / "again"
    recipe = str(tmp_path / "scene.recipe.json")
    assert main(["edit", "--recipe", recipe, "--out", str(again), "--quiet"]) == 0
    assert (np.asarray(Image.open(again / "scene.edited.png")) == first).all()
    recipes = [read_recipe(folder / "scene.edited.png") for folder in (tmp_path, again)]
    assert [one.pop("image")["sha256"] for one in recipes] == [open_picture(path).digest] * 2
    assert recipes[0] == recipes[1]


def test_an_edit_as_json(
    scene_file: tuple[Path, Scene, object], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, _, asked = scene_file
    command = ["edit", str(path), "--find", asked.text, "--paint", "a pear", "--steps", "2"]
    assert main([*command, "--out", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["done"] and facts["reason"] and facts["preserved"]
    assert (facts["phrase"], facts["status"]) == (asked.text, "found")
    assert len(facts["box"]) == 4 and facts["support_pixels"] > 0
    assert Path(facts["result"]).is_file() and Path(facts["recipe"]).is_file()
    assert [one["seed"] for one in facts["variants"]] == [0]


def test_where_nothing_is_found_other_places_are_named_and_can_be_painted(
    scene_file: tuple[Path, Scene, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, scene, _ = scene_file
    there = {thing.noun for thing in scene.objects}
    strange = next(f"the {name}" for name in ("cactus", "frog", "car") if name not in there)
    command = [
        "edit",
        str(path),
        "--find",
        strange,
        "--paint",
        "a pear",
        "--steps",
        "2",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    assert main(command) == 1
    reason, *others, last = capsys.readouterr().out.splitlines()
    assert "not there" in reason
    assert others[0].startswith("candidate 0: box [")
    assert last == "--candidate K paints one of these all the same"
    assert main([*command, "--candidate", "0"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (["edti", "x.png"], "did you mean edit?"),
        (["edit", "x.png", "--fnd", "a dog"], "did you mean --find?"),
        (["ground", "x.png", "a dog", "--devise=cpu"], "did you mean --device?"),
        (["edit", "x.png", "--level", "hole"], "did you mean whole?"),
        (["edit", "x.png", "--remove", "a dog"], "--remove a dog"),
        (["remove", "x.png", "a dog"], "give words after --find, in quotation marks"),
        (["apply", "x.png", "remove", "the", "dog"], "quote words that belong together"),
        (["edit", "x.png", "--find", "a", "--paint", "b", "--retries", "2"], "none; give both"),
        (["edit", "x.png", "--box", "-20,0,40,40"], "write --box=VALUE"),
    ],
)
def test_wrong_usage_names_what_was_probably_meant(
    command: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(meant + (" where the value begins with a minus" if "VALUE" in meant else ""))
    )


def test_another_edit_of_the_picture_goes_beside_the_first(
    scene_file: tuple[Path, Scene, object], tmp_path: Path
) -> None:
    def edited(seed: int, *more: str) -> None:
        assert (
            main(
                [
                    "edit",
                    str(scene_file[0]),
                    "--box",
                    "40,40,90,90",
                    "--paint",
                    "a frog",
                    "--steps",
                    "2",
                    "--seed",
                    str(seed),
                    "--out",
                    str(tmp_path),
                    "--quiet",
                    *more,
                ]
            )
            == 0
        )

    edited(1)
    first = {path: path.read_bytes() for path in tmp_path.iterdir()}
    edited(2)
    edited(1)  # the same again
    edited(1, "--format", "jpg")
    assert {path: path.read_bytes() for path in first} == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "scene-2.edited.png",
        "scene-2.overlay.png",
        "scene-2.recipe.json",
        "scene.edited.jpg",
        "scene.edited.png",
        "scene.overlay.png",
        "scene.recipe.json",
    ]
    edited(3, "--variants", "2")
    assert (tmp_path / "scene-3.edited-4.png").is_file()


@pytest.mark.parametrize(
    "given",
    [
        ["--seed", "9"],
        ["--paint", "a dog", "--variants", "3"],
        ["--set", "feather=4"],
        ["--candidate", "0"],
        ["--shadow"],
    ],
)
def test_what_a_recipe_says_cannot_be_changed_beside_it(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["edit", "--recipe", str(tmp_path / "r.json"), *given])
    assert stop.value.code == 2
    assert f"{given[0]}" in (text := capsys.readouterr().err)
    assert "cannot be changed beside --recipe" in text


def test_a_file_is_no_folder_for_results(
    scene_file: tuple[Path, Scene, object], capsys: pytest.CaptureFixture
) -> None:
    path = str(scene_file[0])
    for command in (
        ["edit", path, "--box", "1,1,9,9", "--paint", "a dog"],
        ["ground", path, "dog"],
        ["ground-all", path, "a dog"],
        ["apply", path, "remove the dog"],
    ):
        assert main([*command, "--out", path]) == 1
        assert "is a file; expected a folder" in capsys.readouterr().err


def test_a_recipe_whose_picture_is_elsewhere_says_what_to_give(
    scene_file: tuple[Path, Scene, object], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = [
        "edit",
        str(scene_file[0]),
        "--box",
        "40,40,90,90",
        "--paint",
        "a frog",
        "--steps",
        "2",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    assert main(command) == 0
    recipe = json.loads((tmp_path / "scene.recipe.json").read_text())
    recipe["image"]["path"] = "gone/scene.png"
    (tmp_path / "moved.json").write_text(json.dumps(recipe))
    again = ["--recipe", str(tmp_path / "moved.json"), "--out", str(tmp_path / "again"), "--quiet"]
    assert main(["edit", *again]) == 1
    missing = f"{str(tmp_path / 'gone/scene.png')!r} is not there; give the picture as well: "
    assert missing + "`groundbrush edit PICTURE --recipe FILE" in capsys.readouterr().err
    assert main(["edit", str(scene_file[0]), *again]) == 0


def test_remove(scene_file: tuple[Path, Scene, object], tmp_path: Path) -> None:
    path, _, asked = scene_file
    command = ["remove", str(path), "--find", asked.text, "--steps", "2", "--quiet"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "scene.edited.png").is_file()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["ground", "nope.png", "the dog"], "nope.png"),
        (["edit", "nope.png", "--find", "the dog", "--paint", "a cat"], "nope.png"),
        (["presets", "minature"], "did you mean miniature"),
    ],
)
def test_what_cannot_be_met_is_one_line_and_status_1(
    command: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(command) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("groundbrush: ")
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [[], ["paint"], ["edit"], ["edit", "x.png", "--find", "the dog"], ["ground", "x.png"]],
)
def test_wrong_usage_is_status_2(command: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "usage" in (text := capsys.readouterr().err) or "groundbrush edit:" in text


def test_presets_lists_and_shows(capsys: pytest.CaptureFixture) -> None:
    assert main(["presets"]) == 0
    assert capsys.readouterr().out.startswith("miniature")
    assert main(["presets", "miniature", "--json"]) == 0
    assert "apple" in json.loads(capsys.readouterr().out)["knows"]["nouns"]


def test_doctor_loads_everything(capsys: pytest.CaptureFixture) -> None:
    assert main(["doctor", "--offline", "--json"]) == 0
    findings = {f["what"]: f for f in json.loads(capsys.readouterr().out)}
    assert findings["torchvision"]["ok"]
    assert "9 channels" in findings["inpainter"]["words"]


def test_doctors_report_is_the_issues_form_without_home_directories() -> None:
    found = [
        Finding("torch", True, "2.13"),
        Finding("disk", False, f"full: {Path.home()}/models | x"),
    ]
    text = issue_text(found)
    form = (ROOT / ".github" / "ISSUE_TEMPLATE" / "error.md").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("**What I typed") or line == "**The whole output**":
            assert line in form
    assert "| torch | ok | 2.13 |" in text
    assert "| disk | **no** | full: ~/models \\| x |" in text
    assert str(Path.home()) not in text


def test_help_needs_no_model_library() -> None:
    code = (
        "import sys\nfrom groundbrush.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    command = [sys.executable, "-m", "groundbrush", "presets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_other_packages_add_commands(capsys: pytest.CaptureFixture) -> None:
    def add_commands(commands: object) -> None:
        add_command(commands, "greet", lambda args: print("hello") or 0, "say hello")

    assert main(["greet"], [add_commands]) == 0
    assert capsys.readouterr().out == "hello\n"

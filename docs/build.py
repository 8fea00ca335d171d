"""Write the reference pages: the command line, the HTTP interface and the presets."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
HTTP = ROOT / "docs" / "reference" / "http.md"
PRESETS = ROOT / "docs" / "measured" / "presets.md"
REPOSITORIES = ROOT / "editor" / "models" / "repositories.json"
BUILTIN = ("miniature", "classic")
PRESETS_HEAD = """# Presets

Written by `make docs`. GB to download, and GB of weights in half precision to find and to paint
(twice that on a CPU without bfloat16; work memory adds about 0.5 GB to find and 2 to 4 GB to
paint at 1024 pixels). A dash: not computed (an original layout, or a checkpoint on your disk).
Heads: *paper*, as printed in Kang et al. (CVPR 2025), not measured again; *first use*, found once
without labels and cached. †: one of the paper's ten models (it does not say which checkpoints its
LLaVA-7B and -13B are; these presets name the authors' first releases). *: gated, its licence must
be accepted on its page.

Sizes marked `"source": "listing"` in `editor/models/repositories.json` come from the hub's
published listings, the others from public pages or the parameter count.

| preset | language model | heads | download | find | paint |
|---|---|---|---|---|---|
"""
HTTP_HEAD = """# HTTP reference

Written by `make docs` from the server's OpenAPI document, `/openapi.json`. [The guide](../serve.md)
has examples, errors and limits. A POST takes JSON, or a form with the part `request` beside the
pictures `image` and `mask`.

| route | request | query and headers | answers |
|---|---|---|---|
"""
HTTP_SETTINGS = (
    "Of a painting; a preset's own values go before these defaults. "
    "[What they mean](../editing.md#settings-worth-knowing)."
)
HEAD = """# The command line

Written by `make docs` from the commands' own help; edit the help instead. `groundbrush
COMMAND --help` prints the same with usage.

## Common options

Each command names the groups or options that it has; all have `--help`.

```
{common}
```
"""
WIDTH = 82  # characters of a line that the site shows without scrolling
COMMON = 2  # an option with the same help in so many commands is described once
GROUPS = {
    "models": "preset device offline yes memory",
    "results": "out quiet json show",
    "place": "mask box click snap candidate level shadow grow invert",
    "painting": "seed draft steps guidance negative set format",
    "workers": "engine workers",
}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's subcommands, by name, in their order."""
    return {
        name: command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, command in action.choices.items()
    }


def page(parser: argparse.ArgumentParser) -> str:
    """The page: the options of many commands, and one section for each command."""
    commands = {"": parser, **subcommands(parser)}
    entries = [_described(command) for command in commands.values()]
    counts = Counter(text for each in entries for text in each)
    common = {t: a for each in entries for t, a in each.items() if counts[t] >= COMMON}
    sections = (_section(name, command, common) for name, command in commands.items())
    return HEAD.format(common=_grouped(parser, common)) + "".join(sections)


def _grouped(parser: argparse.ArgumentParser, common: Mapping[str, argparse.Action]) -> str:
    """The help of the common options, group by group."""
    left = {_name(action): action for action in common.values() if _name(action) != "help"}
    blocks = []
    for title, names in GROUPS.items():
        blocks.append(f"{title}:\n" + _entry(parser, [left.pop(name) for name in names.split()]))
    return "\n\n".join([*blocks, "others:\n" + _entry(parser, [*left.values()])])


def _name(action: argparse.Action) -> str:
    """An option's longest name, without the dashes."""
    return max(action.option_strings, key=len).lstrip("-")


def _shared(names: Sequence[str]) -> str:
    """A command's common options: whole groups by their title, others by name."""
    whole = {g: n.split() for g, n in GROUPS.items() if set(n.split()) <= {*names}}
    grouped = {name for members in whole.values() for name in members}
    return ", ".join([*whole, *(f"--{n}" for n in names if n not in grouped | {"help"})])


def _described(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a command by the help that is printed for each."""
    return {_entry(command, [a]): a for a in command._actions if a.option_strings}


def _entry(command: argparse.ArgumentParser, actions: Sequence[argparse.Action]) -> str:
    """The help of some options or arguments."""
    formatter = command.formatter_class(prog="", max_help_position=26, width=WIDTH)
    formatter.start_section("x")
    formatter.add_arguments(actions)
    formatter.end_section()
    return formatter.format_help().partition("\n")[2].rstrip()


def _section(
    name: str, command: argparse.ArgumentParser, common: Mapping[str, argparse.Action]
) -> str:
    """One command: what it does, its arguments, its own options, the names of the common ones."""
    blocks = [command.description or ""]
    for group in command._action_groups:
        own = [a for a in group._group_actions if _entry(command, [a]) not in common]
        if own:
            plain = group.title in ("options", "positional arguments")
            title = "" if plain else f"{group.title}:\n"
            blocks.append(title + _entry(command, own))
    names = _shared([_name(a) for text, a in _described(command).items() if text in common])
    blocks += [f"common options: {names}" if names and name else "", command.epilog or ""]
    text = "\n\n".join(textwrap.fill(b, WIDTH) if "\n" not in b else b for b in blocks if b)
    return f"\n## groundbrush {name}".rstrip() + f"\n\n```\n{text}\n```\n"


def presets_page() -> str:
    """The page with the presets' models, sizes and memory."""
    from groundbrush.editor.models.presets import load_preset, preset_names

    rows = [_size_row(load_preset(name)) for name in preset_names() if name not in BUILTIN]
    return PRESETS_HEAD + "\n".join(rows) + "\n"


def _size_row(preset: Any) -> str:
    """A preset's row: GB to download, and GB that its weights take in half precision."""
    facts = json.loads(REPOSITORIES.read_text(encoding="utf-8"))
    spec, painter = preset.find or preset.lvlm, preset.inpainter
    finding = [spec["path"], preset.segmenter["path"]]
    painting = [painter["path"], *filter(None, [painter.get("vae")])]
    memory = "–" if spec.get("vision") else _memory(facts, finding, spec)
    gated = "*" if facts.get(spec["path"], {}).get("gated") else ""
    heads = "–" if preset.find else "paper" if spec.get("heads") else "first use"
    if not preset.find and "CVPR 2025" in spec.get("provenance", ""):
        heads += " †"
    return (
        f"| `{preset.name}` | {spec['path']}{gated} | {heads} | {preset.size_gb:g} | {memory} | "
        f"{_memory(facts, painting, {})} |"
    )


def _memory(facts: dict[str, Any], paths: list[str], spec: Any) -> str:
    """GB of repositories' weights on an accelerator, cut to the layers that the heads need."""
    from groundbrush.editor.models.memory import deepest_of

    if not all(path in facts for path in paths):
        return "–"
    each = 4 if spec.get("dtype") == "float32" else 2
    total = sum(
        facts[path]["gb"] * (each if i == 0 else 2) / facts[path]["bytes_each"]
        for i, path in enumerate(paths)
    )
    known, deepest = facts[paths[0]], deepest_of(spec)
    if deepest is not None and "layers" in known:
        total -= (known["layers"] - 1 - deepest) * known["layer_gb"] + known["head_gb"]
    return f"{total:.1f}"


def http_page(document: Mapping[str, Any]) -> str:
    """The page with every route and object of an OpenAPI document."""
    schemas, routes = document["components"]["schemas"], []
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            body = route.get("requestBody", {}).get("content", {}).get("multipart/form-data")
            request = _type(body["schema"]["properties"]["request"]) if body else ""
            given = [p["name"] for p in route.get("parameters", ()) if p["in"] != "path"]
            answers = ", ".join(sorted(route["responses"]))
            routes.append(
                f"| {method.upper()} `{path}` | {request} | {', '.join(given)} | {answers} |"
            )
    common = schemas["EditBody"]["properties"]
    schemas = {**schemas, "Settings": {**common["settings"], "description": HTTP_SETTINGS}}
    objects = (_object(name, schema, common) for name, schema in sorted(schemas.items()))
    return HTTP_HEAD + "\n".join(routes) + "\n" + "".join(objects)


def _object(name: str, schema: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    """One object and its fields; of a recipe those that are not as an edit's."""
    fields, about = schema.get("properties", {}), schema.get("description", "").split("\n\n")[0]
    text = f"\n## {name}\n\n{' '.join(about.split())}\n"
    if name != "EditBody" and len(fields.keys() & common) > len(common) / 2:
        text += "\nOther fields: as [EditBody](#editbody).\n"
        fields = {field: one for field, one in fields.items() if one != common.get(field)}
    rows = [
        f"| `{field}` | {_type(one)} | {_default(one, field in schema.get('required', ()))} | "
        f"{one.get('description', one.get('x-expected', ''))} |"
        for field, one in fields.items()
    ]
    head = "\n| field | type | default | |\n|---|---|---|---|\n"
    return text + (head + "\n".join(rows) + "\n" if rows else "")


def _default(field: Mapping[str, Any], required: bool) -> str:
    """A field's default, or that it has none."""
    value = field.get("default")
    return "required" if required else "" if value in (None, {}) else f"`{json.dumps(value)}`"


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON type in a few words, with its limits and links to objects."""
    if "properties" in schema:
        return "[Settings](#settings)"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if many := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(filter(None, map(_type, many))))
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{json.dumps(one)}`" for one in choices)
    if fixed := schema.get("prefixItems"):
        return f"[{', '.join(map(_type, fixed))}]"
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    least, most = schema.get("minimum"), schema.get("maximum", 2**63)
    limits = f"{least} to {most}" if most < 2**32 else f"from {least}"
    return schema.get("type", "") + (f", {limits}" if least is not None else "")


def main() -> None:
    """Write the pages and say where."""
    sys.path.insert(0, str(ROOT))
    from groundbrush import Editor
    from groundbrush.app.commands import add_commands
    from groundbrush.app.http import ServeSettings, create_app
    from groundbrush.editor.cli.main import build_parser

    PAGE.write_text(page(build_parser([add_commands])), encoding="utf-8")
    PRESETS.write_text(presets_page(), encoding="utf-8")
    app = create_app(Editor.load("classic"), ServeSettings())
    HTTP.parent.mkdir(exist_ok=True)
    HTTP.write_text(http_page(app.openapi()), encoding="utf-8")
    app.state.store.close()
    print(*(path.relative_to(ROOT) for path in (PAGE, PRESETS, HTTP)))


if __name__ == "__main__":
    main()

"""Find and read the weights and settings of original checkpoints, as data only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from ..errors import GroundingError

State = dict[str, Tensor]


def read_weights(folder: Path) -> State:
    """All weights of a checkpoint's folder: safetensors, or PyTorch files read as data only.

    Raises GroundingError when there are none.
    """
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if files:
        return {k: v for file in files for k, v in load_file(file).items()}
    files = sorted(folder.glob("*pytorch_model*.bin"))  # OpenCLIP's are called open_clip_...
    if not files:
        raise GroundingError(
            f"{folder} holds no weights; expected *.safetensors or pytorch_model*.bin files"
        )
    return {k: v for file in files for k, v in load_pickled(file).items()}


def load_pickled(file: Path) -> State:
    """Tensors of a PyTorch file; anything but plain data in it is refused, never run.

    Raises GroundingError when the file is none, or holds more than tensors.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GroundingError(
            f"{file} cannot be read as weights ({first[:150]}); expected a PyTorch file of tensors "
            "only: download it again, or save the weights alone"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GroundingError(f"{file} holds more than named tensors; expected a state dict")
    return state


_SETTINGS = (".json", ".model", ".txt", ".jinja")
_UNUSED = ("training_args", "optimizer", "trainer_state", "adapter_model", "consolidated")


def checkpoint_files(
    names: Iterable[str], *, original: bool = False, weights: bool = True
) -> list[str]:
    """Choose, among a repository's files, those that loading a model reads.

    Parameters
    ----------
    names : Paths in the repository.
    original : Of an original LLaVA layout: folders too (Yi-VL's tower is in one), and PyTorch files
        where a folder has no safetensors.
    weights : False: only configuration and tokenizer.

    Examples
    --------
    >>> checkpoint_files(["config.json", "model.safetensors", "pytorch_model.bin", "onnx/a.json"])
    ['config.json', 'model.safetensors']
    """
    paths = [PurePosixPath(name) for name in names]
    here = [
        path
        for path in paths
        if (original or len(path.parts) == 1) and not any(word in path.name for word in _UNUSED)
    ]
    chosen = [path for path in here if path.suffix in _SETTINGS]
    tensors = [path for path in here if path.suffix == ".safetensors"]
    # Beside these names there may be the same weights again, under another tool's name.
    named = [p for p in tensors if p.name.startswith(("model", "diffusion_pytorch_model"))]
    if weights:
        chosen += named or tensors
        covered = {path.parent for path in tensors}
        if original:
            pickled = [p for p in here if p.suffix == ".bin" and "pytorch_model" in p.name]
            plain = {p.parent for p in pickled if p.name.startswith("pytorch_model")}
            chosen += [
                path
                for path in pickled
                if path.parent not in covered
                # Yi-VL's tower is there twice; OpenCLIP's own name is read where it is alone.
                and (path.parent not in plain or path.name.startswith("pytorch_model"))
            ]
    return sorted(str(path) for path in chosen)


def hub_folder(
    where: str, *, offline: bool, revision: str | None = None, weights: bool = True
) -> Path:
    """A local folder, or the cached copy of a repository's data files (or only its settings)."""
    local = Path(where).expanduser()
    if local.is_dir():
        return local
    from huggingface_hub import HfApi, snapshot_download

    if offline:
        # All files in one pattern would also demand those that are never downloaded.
        return Path(
            snapshot_download(
                where, revision=revision, local_files_only=True, allow_patterns="config.json"
            )
        )
    names = HfApi().list_repo_files(where, revision=revision)
    wanted = checkpoint_files(names, original=True, weights=weights)
    return Path(snapshot_download(where, revision=revision, allow_patterns=wanted))


def tower_folder(folder: Path, named: str, *, offline: bool, weights: bool = True) -> Path:
    """The tower's folder: beside the weights (Yi-VL), anywhere else, or a repository.

    Without `weights` only a repository's settings are fetched: InternViT-6B alone is 12 GB, and
    the checkpoint may hold it.
    """
    beside = folder / named
    if beside.is_dir():
        return beside
    try:
        return hub_folder(named, offline=offline, weights=weights)
    except Exception as error:  # the hub's errors share no base
        raise GroundingError(
            f"the vision tower {named!r} that {folder} names is not there "
            f"({type(error).__name__}); give its folder or repository as vision=... (in a preset: "
            "lvlm.vision)"
        ) from error


def with_tower(
    state: State, prefix: str, folder: Path, named: str, *, offline: bool
) -> tuple[State, Path]:
    """A checkpoint's weights, with those of a tower that it lacks added, and the tower's folder.

    `prefix` marks the tower's names among the weights, and `named` is its folder or repository.
    Where the checkpoint holds its weights, only settings are fetched.
    """
    there = any(name.startswith(prefix) for name in state)
    tower = tower_folder(folder, named, offline=offline, weights=not there)
    if not there:
        state = state | {prefix + name: value for name, value in read_weights(tower).items()}
    return state, tower


def keep_layers(config: Any, deepest: int | None) -> None:
    """Cut a model's config after the deepest text layer (0-based) to be loaded; None keeps all."""
    text = config.text_config
    if deepest is None:
        return
    if not 0 <= deepest < text.num_hidden_layers:
        raise GroundingError(
            f"heads name layer {deepest}; the model has layers 0 to "
            f"{text.num_hidden_layers - 1} (0-based)"
        )
    text.num_hidden_layers = deepest + 1
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[: deepest + 1]

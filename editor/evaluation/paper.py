"""The paper's numbers, to stand beside ours: Kang et al., CVPR 2025.

Values are percent. RefCOCO, RefCOCO+ and RefCOCOg are the validation splits.
"""

from __future__ import annotations

from collections.abc import Mapping

REFCOCO_VAL: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "DeepSeek-VL-1.3B": ((73.2, 62.0, 65.2), (56.3, 51.2, 52.3)),
    "Mini-Gemini-2B": ((74.0, 62.5, 65.1), (59.8, 56.3, 55.1)),
    "InternVL-6B": ((85.2, 78.0, 81.1), (62.1, 62.2, 63.5)),
    "Yi-VL-6B": ((85.1, 78.9, 80.5), (62.5, 61.0, 64.0)),
    "DeepSeek-VL-7B": ((85.3, 77.8, 81.1), (73.9, 63.1, 64.0)),
    "ShareGPT4V-7B": ((86.1, 79.7, 82.4), (73.5, 59.4, 60.7)),
    "LLaVA-7B": ((80.3, 74.5, 77.5), (65.4, 59.9, 59.7)),
    "LLaVA-1.5-7B": ((86.5, 80.1, 82.3), (74.2, 62.5, 64.2)),
    "LLaVA-13B": ((82.8, 79.3, 79.8), (66.8, 62.3, 65.0)),
    "LLaVA-1.5-13B": ((87.2, 82.7, 84.3), (76.1, 64.1, 67.7)),
}
"""Model -> (Acc@0.5, cIoU), each for RefCOCO, RefCOCO+, RefCOCOg."""

REASONSEG_GIOU: Mapping[str, Mapping[str, float]] = {
    "LLaVA-1.5-7B": {"val": 52.4, "test, short": 48.0, "test, long": 49.1, "test": 48.7},
    "LLaVA-1.5-13B": {"val": 60.5, "test, short": 48.7, "test, long": 51.0, "test": 49.9},
}
"""Model -> split or group -> gIoU."""

_COLUMNS = ("refcoco", "refcoco+", "refcocog")


def beside(benchmark: str, group: str) -> dict[str, dict[str, float]]:
    """The paper's values for one row of our table: model -> metric -> percent; {} where none.

    Examples
    --------
    >>> beside("refcoco", "val")["LLaVA-1.5-7B"]
    {'Acc@0.5': 86.5, 'cIoU': 74.2}
    """
    if benchmark == "reasonseg":
        rows = {m: values for m, values in REASONSEG_GIOU.items() if group in values}
        return {model: {"gIoU": values[group]} for model, values in rows.items()}
    if benchmark not in _COLUMNS or group != "val":
        return {}
    at = _COLUMNS.index(benchmark)
    return {m: {"Acc@0.5": rec[at], "cIoU": res[at]} for m, (rec, res) in REFCOCO_VAL.items()}

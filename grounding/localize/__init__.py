"""Head maps to a place: map, box, proposals, mask, status. It runs no LVLM."""

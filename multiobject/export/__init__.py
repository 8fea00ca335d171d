"""Foreign formats, one module each: COCO, supervision, LabelMe."""

"""diffusers pipelines that paint a canvas. They do not know the picture it was cropped from."""

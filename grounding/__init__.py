"""Find what a phrase names in a picture: attention rows, heads, map, box, mask.

It knows nothing of painting, sentences, files or users. Public names are listed in ``__init__.pyi``
and load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

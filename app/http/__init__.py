"""The editor over HTTP: one set of models, a queue, results kept for a while.

Needs the extra ``serve``; importing this package loads neither it nor a model.
"""

import lazy_loader

INSTALL = "pip install 'groundbrush[serve]' (in a clone: pip install -e '.[serve]')"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "application": ["create_app"],
        "server": ["serve"],
        "settings": ["ServeSettings"],
    },
)

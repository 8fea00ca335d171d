"""Workers that hold loaded models, in this process or on Ray. They know no batch."""

"""A ``.gguf`` file as a `Model`: knows llama.cpp's metadata keys and tensor names; start at `model`."""

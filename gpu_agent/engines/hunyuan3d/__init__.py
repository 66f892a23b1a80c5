"""Hunyuan3D-2 as an engine: rembg, shape and texture, in lanes around the one GPU process."""

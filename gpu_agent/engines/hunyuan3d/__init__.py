"""Hunyuan3D-2 as an engine: rembg, shape, texture, in two lanes around one owner of the GPU."""

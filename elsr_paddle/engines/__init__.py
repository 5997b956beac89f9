"""Run a trained network as a function from picture to picture: uint8 in, uint8 out.

`choose.load_engine` is the door; `engine.Engine` is what it returns; each backend (one file each)
runs the same network on another library and gives the same picture within one level.
"""

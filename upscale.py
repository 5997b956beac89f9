"""Enlarge pictures, folders and videos: `python upscale.py INPUT... -o OUTPUT`; the same as `elsr`.
"""

from elsr_paddle.commands.enlarge import entry

if __name__ == "__main__":
    entry()

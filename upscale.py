"""Enlarge pictures, folders and videos: `python upscale.py INPUT... -o OUTPUT`; the same as `elsr`.
"""

from elsr_paddle.upscale_command import entry

if __name__ == "__main__":
    entry()

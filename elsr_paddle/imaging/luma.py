"""Pictures by their luma: a network enlarges Y, bicubic the rest, where the eye sees little."""

from elsr_paddle.imaging.io import merge_luma, split_luma
from elsr_paddle.imaging.resize import imresize


def upscale_by_luma(image, upscale_plane):
    """Enlarge a colour picture by a function that enlarges its luma.

    Parameters
    ----------
    image : uint8 array, shape (H, W, 3), RGB
    upscale_plane : callable, uint8 (H, W) -> uint8 (s*H, s*W), full range

    Returns
    -------
    uint8 array, shape (s*H, s*W, 3), RGB; the two colour differences come from `imresize`.
    """
    luma, chroma = split_luma(image)
    enlarged = upscale_plane(luma)
    return merge_luma(enlarged, imresize(chroma, size=enlarged.shape))

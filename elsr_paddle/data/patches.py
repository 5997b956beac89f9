"""Draw an endless stream of augmented training patches from pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from elsr_paddle.data.folders import FolderPairs
from elsr_paddle.data.pairs import Pairs
from elsr_paddle.errors import InputError, needs
from elsr_paddle.threads import ordered_map

cv2 = needs("cv2", "opencv")

SYMMETRIES = 8  # the flips and 90-degree rotations of a square: those that keep LR and HR a pair
BLOCK_ROWS = 16  # consecutive rows kept together in the order of an epoch
GROUP_BLOCKS = 64  # blocks whose rows are shuffled together


class Batches:
    """Batches by the number of their step; a subclass has `__getitem__`."""

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of one step: uint8 (B, h, h, 3) and (B, s*h, s*h, 3), RGB."""
        raise NotImplementedError

    def loader(
        self, start_step: int, stop_step: int, workers: int = 1
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over the batches of steps start_step .. stop_step - 1, prepared ahead.

        Threads prepare them while the caller trains; leaving the loop early stops the threads.
        They share a file of pairs (HDF5 reads one thing at a time in a process anyway).

        Parameters
        ----------
        start_step, stop_step : int
        workers : int, threads; at least one works even when 0 is given. More than one pays for
            pairs in memory and for folders, whose pictures are decoded.
        """
        steps = range(start_step, stop_step)
        return ordered_map(self.__getitem__, steps, workers=max(1, workers))


class PatchBatches(Batches):
    """Batches of augmented patches; batches[step] depends on the seed and the step alone.

    Samples follow one endless order: all rows, shuffled anew for each epoch, so a batch may end one
    epoch and begin the next. For the disk's sake the shuffle works on blocks of BLOCK_ROWS
    consecutive rows: blocks are shuffled, then the rows within each GROUP_BLOCKS blocks. Up to
    BLOCK_ROWS * GROUP_BLOCKS = 1024 rows are so shuffled fully. Each sample gets a random crop and
    one of the eight symmetries of the square. All draws are made per epoch from (seed, epoch),
    never from a running state, so resuming needs only the step.

    Parameters
    ----------
    pairs : Pairs or FolderPairs; rows may differ in size.
    hr_patch : int, side of the HR patch, pixels; a multiple of the scale
    batch_size : int, samples per rank
    seed : int
    rank, world_size : this process and their number. The global batch has world_size * batch_size
        samples, of which the rank takes every world_size-th: what one process with that batch gets.

    Raises
    ------
    InputError if the patch does not fit the rows or the scale.
    """

    def __init__(
        self,
        pairs: Pairs | FolderPairs,
        *,
        hr_patch: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check_patch(pairs, hr_patch)
        self.pairs, self.seed = pairs, seed
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.hr_patch, self.lr_patch = hr_patch, hr_patch // pairs.scale
        self._lr_sizes = pairs.lr_sizes  # (N, 2)
        self.steps_per_epoch = max(1, len(pairs) // (batch_size * world_size))
        self._draws = lru_cache(maxsize=3)(self._draw_epoch)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of one step: uint8 (B, h, h, 3) and (B, hr_patch, hr_patch, 3), RGB."""
        lr = np.empty((self.batch_size, self.lr_patch, self.lr_patch, 3), np.uint8)
        hr = np.empty((self.batch_size, self.hr_patch, self.hr_patch, 3), np.uint8)
        samples = [self._sample(position) for position in self._positions(step)]
        # Rows are read in the order they lie on the disk.
        for slot in sorted(range(self.batch_size), key=lambda slot: samples[slot]):
            row, top, left, symmetry = samples[slot]
            small, large = self.pairs.crop(row, top, left, self.lr_patch)
            turn(small, symmetry, out=lr[slot])
            turn(large, symmetry, out=hr[slot])
        return lr, hr

    def _positions(self, step):
        """Places in the endless order of samples: this rank's share of the step's global batch."""
        first = step * self.batch_size * self.world_size + self.rank
        return range(first, first + self.batch_size * self.world_size, self.world_size)

    def _sample(self, position):
        """(row, top, left, symmetry) at a place of the endless order; top, left in LR pixels."""
        epoch, index = divmod(position, len(self.pairs))
        return self._draws(epoch)[index]

    def _draw_epoch(self, epoch):
        """Every sample of an epoch: list of (row, top, left, symmetry)."""
        rng = np.random.default_rng([self.seed, epoch])
        count = len(self.pairs)
        rows = block_shuffle(count, rng)
        room = self._lr_sizes[rows] - self.lr_patch + 1  # (N, 2), places for the crop, per axis
        corners = np.floor(rng.random((count, 2)) * room).astype(int)
        symmetries = rng.integers(SYMMETRIES, size=count)
        return list(zip(rows.tolist(), *corners.T.tolist(), symmetries.tolist()))


class InTurn(Batches):
    """Batches of several scales, one a step, in turn.

    Parameters
    ----------
    batches : sequence of PatchBatches
    """

    def __init__(self, batches: Sequence[PatchBatches]) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(lr, hr) of one step, as `PatchBatches` gives them."""
        turn, place = divmod(step, len(self._batches))
        return self._batches[place][turn]


def block_shuffle(count: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation of range(count) that a disk can follow; see PatchBatches."""
    starts = rng.permutation(np.arange(0, count, BLOCK_ROWS))
    order = []
    for first in range(0, len(starts), GROUP_BLOCKS):
        rows = (starts[first : first + GROUP_BLOCKS, None] + np.arange(BLOCK_ROWS)).ravel()
        order.append(rng.permutation(rows[rows < count]))
    return np.concatenate(order)


def turn(image: np.ndarray, symmetry: int, out: np.ndarray) -> None:
    """Write one of the square's eight symmetries of a uint8 (H, H, 3) image into `out`.

    Bit 0 mirrors left-right, bit 1 top-bottom, bit 2 transposes, in that order. OpenCV moves whole
    pixels; numpy's reversed views move single bytes, several times slower.
    """
    mirror = (None, 1, 0, -1)[symmetry & 3]
    if symmetry & 4 and mirror is not None:
        cv2.transpose(cv2.flip(image, mirror), dst=out)
    elif symmetry & 4:
        cv2.transpose(image, dst=out)
    elif mirror is not None:
        cv2.flip(image, mirror, dst=out)
    else:
        out[:] = image


def _check_patch(pairs, hr_patch):
    if hr_patch < 1 or hr_patch % pairs.scale:
        raise InputError(f"expected an HR patch divisible by {pairs.scale} but got {hr_patch}")
    smallest = pairs.lr_sizes.min(axis=1).argmin()
    height, width = pairs.lr_sizes[smallest] * pairs.scale
    if hr_patch > min(height, width):
        raise InputError(
            f"expected rows of at least {hr_patch}x{hr_patch} pixels but row {smallest}, of "
            f"{pairs.clips[smallest]}, is {width}x{height}; use a smaller patch or larger pictures"
        )

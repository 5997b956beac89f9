"""Carry what travels with a video: sound, subtitles, data, attachments, chapters.

They are copied packet by packet. Where the container cannot hold one, sound and text subtitles are
converted, and the rest is left out with a warning.
"""

from __future__ import annotations

import io
import math

import av

from elsr_paddle.video.pipes import FRAMES_ALONE
from elsr_paddle.video.pyav import can_attach, chapters

_ATTACHED_PICTURE = av.stream.Disposition.attached_pic

# Sound and text subtitles to convert to, for containers that cannot hold what they came in.
_SOUND = {"webm": "libopus", "mp4": "aac", "mov": "aac", "matroska": "aac"}
_TEXT = {"webm": "webvtt", "mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
_TEXT_CODECS = ("ass", "mov_text", "srt", "ssa", "subrip", "text", "webvtt")

_PRIMING = 3  # packets before the first that is heard, from which its decoder starts

# Written by the muxer of the file itself.
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


def carry_metadata(container, output):
    """Give the output the title, the chapters and whatever else the file says about itself."""
    output.metadata.update({name: text for name, text in container.metadata.items()
                            if name.lower() not in _OWN_TAGS})
    found = chapters(container)
    if found:
        output.set_chapters(found)


def carry_stream(stream, output, reader, outcome):
    """Add to the output what takes the packets of one of the other streams.

    Parameters
    ----------
    stream : av.Stream of the input
    output : av.container.OutputContainer, not yet started
    reader : Reader of the input, told of packets that cannot be decoded
    outcome : Outcome, told what cannot be kept

    Returns
    -------
    callable, packet (None at the end) -> list of packets to mux; or None if it is left out.
    """
    name = output.format.name
    if name in FRAMES_ALONE:
        outcome.warn("frames alone were written: sound and whatever else goes with the film was "
                     "left out")
        return None
    if stream.type == "video" and not stream.disposition & _ATTACHED_PICTURE:
        outcome.warn(f"video {_numbered(stream)} was left out: {_numbered(reader.stream)} is the "
                     "one that is enlarged")
        return None
    if _holds(name, stream):
        return _copied(stream, output, outcome)
    if stream.type == "audio" and stream.codec_context is not None:
        outcome.warn(f"sound stream {stream.index} ({stream.codec_context.name}) was re-encoded as "
                     f"{_SOUND[name]}: {name} cannot hold it as it is")
        return _reencoded_sound(stream, output, _SOUND[name], reader)
    if stream.type == "subtitle" and stream.codec_context.name in _TEXT_CODECS:
        converted = _converted_text(stream, output, _TEXT[name])
        if converted:
            outcome.warn(f"subtitle stream {stream.index} ({stream.codec_context.name}) became "
                         f"{_TEXT[name]}: {name} cannot hold it as it is")
            return converted
    if stream.type == "data" and stream.name == "bin_data" and chapters(stream.container):
        return None  # in MP4, the titles of the chapters, which have gone across as such
    kind = "cover picture" if stream.type == "video" else f"{stream.type} stream"
    outcome.warn(f"{kind} {stream.index} was left out: {name} cannot hold it; try .mkv")
    return None


def _numbered(stream):
    return f"stream {stream.index} ({stream.width}x{stream.height})"


def _holds(name, stream):
    """Whether a container of that kind takes the stream: tried out, since only its header knows."""
    if stream.codec_context is None and not can_attach():
        return False
    try:
        with av.open(io.BytesIO(), "w", format=name) as trial:
            _template(stream, trial)
            trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _template(stream, output):
    return output.add_stream_from_template(stream, opaque=True)


def describe(stream, copy):
    """Give a stream of the output its language, title and the like, and whether it is default."""
    copy.metadata.update({name: text for name, text in stream.metadata.items()
                          if name.lower() not in _OWN_TAGS})
    copy.disposition = stream.disposition.value
    return copy


def _copied(stream, output, outcome):
    copy = describe(stream, _template(stream, output))
    last = None

    def take(packet):
        nonlocal last
        if packet is None or packet.size == 0:  # the demuxer ends each stream with an empty one
            return []
        if packet.is_discard and (packet.pts or 0) + _PRIMING * packet.duration < 0:
            return []  # cut away by an edit list, which other containers do not have
        if stream.type == "audio" and packet.dts is not None:
            tick = max(1, math.ceil(copy.time_base / packet.time_base))  # of both clocks
            if last is not None and packet.dts < last + tick:
                outcome.warn("packets of sound overlap: the later ones were moved")
                packet.dts = last + tick
                packet.pts = max(packet.dts, packet.pts or 0)
            last = packet.dts
        packet.stream = copy
        return [packet]

    return take


def _reencoded_sound(stream, output, codec, reader):
    rate = 48000 if codec == "libopus" else stream.codec_context.sample_rate
    copy = output.add_stream(codec, rate=rate, layout=_layout(stream))
    describe(stream, copy)
    fitted = None

    def take(packet):
        nonlocal fitted
        if fitted is None:  # the size of a frame is known once the encoder is open
            copy.codec_context.open(strict=False)
            fitted = av.AudioResampler(copy.codec_context.format, copy.codec_context.layout, rate,
                                       copy.codec_context.frame_size or None)
        frames = [] if packet is None else _sound_of(packet, reader)
        pieces = [piece for frame in frames for piece in fitted.resample(frame)]
        if packet is None:
            pieces += [*fitted.resample(None), None]
        return [encoded for piece in pieces for encoded in copy.encode(piece)]

    return take


def _sound_of(packet, reader):
    try:
        return packet.decode()
    except av.error.EOFError:  # the decoder was told of the end already
        return []
    except av.FFmpegError:
        reader.note_damage()
        return []


def _layout(stream):
    """Mono stays mono; what an encoder may not know becomes stereo."""
    return "mono" if stream.codec_context.channels == 1 else "stereo"


def _converted_text(stream, output, codec):
    """Subtitles as another text format; None where this PyAV cannot encode them."""
    decoder = stream.codec_context
    if not hasattr(decoder, "encode_subtitle"):
        return None
    decoder.open(strict=False)  # only then it has the header, which the encoder needs
    copy = describe(stream, output.add_stream(codec))
    encoder = copy.codec_context
    encoder.time_base, encoder.subtitle_header = stream.time_base, decoder.subtitle_header

    def take(packet):
        texts = decoder.decode2(packet) if packet is not None and packet.size else None
        if texts is None:
            return []
        encoded = encoder.encode_subtitle(texts)
        encoded.stream, encoded.time_base = copy, packet.time_base
        encoded.pts, encoded.dts, encoded.duration = packet.pts, packet.dts, packet.duration
        return [encoded]

    return take

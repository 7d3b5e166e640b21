"""Frames as they are written, read by another library."""

from __future__ import annotations

import pytest
from hyperframe.frame import Frame

from safeguards_extproc.rpc import frames
from safeguards_extproc.rpc.frames import ErrorCode


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (frames.settings({3: 100, 4: 7}), "SettingsFrame(stream_id=0, flags=[]): settings={3: 100, 4: 7}"),
        (frames.SETTINGS_ACK, "SettingsFrame(stream_id=0, flags=['ACK']): settings={}"),
        (frames.window_update(5, 70_000), "WindowUpdateFrame(stream_id=5, flags=[]): window_increment=70000"),
        (frames.rst_stream(5, ErrorCode.REFUSED_STREAM), "RstStreamFrame(stream_id=5, flags=[]): error_code=7"),
        (frames.ping(b"12345678", ack=True), "PingFrame(stream_id=0, flags=['ACK']): opaque_data=b'12345678'"),
        (
            frames.goaway(2**31 - 1, ErrorCode.NO_ERROR),
            "GoAwayFrame(stream_id=0, flags=[]): last_stream_id=2147483647, error_code=0, additional_data=b''",
        ),
        (
            frames.frame(frames.DATA, frames.END_STREAM, 2**31 - 1, b"x" * 70_000),
            f"DataFrame(stream_id=2147483647, flags=['END_STREAM']): <hex:{'78' * 10}...>",
        ),
    ],
)
def test_another_library_reads_what_we_write(written: bytes, expected: str) -> None:
    """Kind, flags, stream and payload, of frames of every length."""
    frame, length = Frame.parse_frame_header(memoryview(written[:9]))
    frame.parse_body(memoryview(written[9:]))
    assert len(written) == 9 + length
    assert expected == str(frame)

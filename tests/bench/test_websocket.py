from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tools.bench.running import a_backend
from tools.bench.websocket import Frames, echo, frame


@given(
    st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), max_size=4),
    st.integers(1, 9_000),
)
def test_frames_come_back_whole_wherever_they_are_cut(
    sizes: list[tuple[int, bool]], cut: int
) -> None:
    messages = [(number % 250).to_bytes() * size for number, (size, _) in enumerate(sizes)]
    masks = [b"\x01\x80\xfe\x00" if masked else b"" for _, masked in sizes]
    sent = b"".join(frame(one, mask=mask) for one, mask in zip(messages, masks, strict=True))
    cut = max(cut, len(sent) // 100)  # a frame that is not complete is read again with each piece
    frames = Frames()

    read = [
        payload
        for at in range(0, len(sent), cut)
        for _, payload in frames.messages(sent[at : at + cut])
    ]

    assert read == messages


def test_a_mask_hides_a_payload_that_is_not_empty() -> None:
    assert b"secret" not in frame(b"secret", mask=b"\x01\x02\x03\x04")


def test_the_backend_echoes_a_message() -> None:
    with a_backend() as port:
        assert echo(port, "/rooms/r", b"hello") == b"hello"

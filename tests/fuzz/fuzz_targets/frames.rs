//! Following the frames of HTTP/2: never a panic, and the same verdict however the bytes are split. The first byte of the
//! input chooses the size of the parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::resolved::Http2Limits;
use portcullis::frames::Frames;

fuzz_target!(|input: (u8, &[u8], &[u8])| {
    let (size, received, sent) = input;
    let follow = |size: usize| {
        let mut frames = Frames::new(&Http2Limits::default());
        received.chunks(size).for_each(|part| frames.received(part));
        let in_head = frames.in_head();
        sent.chunks(size).for_each(|part| frames.sent(part));
        (frames.flood(), in_head, frames.last_word())
    };
    assert_eq!(follow(usize::from(size) + 1), follow(usize::MAX));
});

//! The encoders, behind one face.

use std::io;

use async_compression::Level;
use async_compression::codecs::brotli::params::EncoderParams;
use async_compression::codecs::zstd::params::CParameter;
use async_compression::codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder};
use async_compression::core::util::{PartialBuffer, WriteBuffer};

use crate::config::resolved::{Encoding, Levels};

/// Bytes that an encoder looks back over, as a power of two. Each stream pays for its window several times over: 256 KiB is
/// where an encoder stays below 2 MiB, and text gains little from more.
const WINDOW: u8 = 18;
/// Bytes of output that room is made for at once.
const ROOM: usize = 8 << 10;

/// Compresses one stream.
pub(super) struct Encoder(Box<dyn EncodeV2>);

impl Encoder {
    pub(super) fn new(encoding: Encoding, levels: Levels) -> Encoder {
        Encoder(match encoding {
            Encoding::Zstd => {
                let window = CParameter::window_log(u32::from(WINDOW));
                Box::new(ZstdEncoder::new_with_params(levels.zstd, &[window]))
            }
            Encoding::Brotli => {
                let parameters = EncoderParams::default().quality(Level::Precise(levels.brotli));
                Box::new(BrotliEncoder::new(parameters.window_size(i32::from(WINDOW))))
            }
            Encoding::Gzip => Box::new(GzipEncoder::new(Level::Precise(levels.gzip).into())),
        })
    }

    /// Takes all of the input. What comes of it, now or later, is appended.
    pub(super) fn encode(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        let mut input = PartialBuffer::new(input);
        while !input.unwritten().is_empty() {
            with_room(output, |room| self.0.encode(&mut input, room))?;
        }
        Ok(())
    }

    /// Appends all that has been taken, so that it can be decoded.
    pub(super) fn flush(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while !with_room(output, |room| self.0.flush(room))? {}
        Ok(())
    }

    /// Appends the end.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while !with_room(output, |room| self.0.finish(room))? {}
        Ok(())
    }
}

fn with_room<T>(output: &mut Vec<u8>, write: impl FnOnce(&mut WriteBuffer<'_>) -> T) -> T {
    let length = output.len();
    output.resize(length + ROOM, 0);
    let mut room = WriteBuffer::new_initialized(&mut output[length..]);
    let result = write(&mut room);
    let written = room.written_len();
    output.truncate(length + written);
    result
}

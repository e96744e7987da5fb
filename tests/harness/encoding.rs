//! What a client does with an encoded response.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::Response;

impl Response {
    /// The body as it was before `Content-Encoding`. Panics where it is not whole.
    pub async fn decoded(&self) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut decoder = decoder(self.header("content-encoding"), self.bytes());
        decoder.read_to_end(&mut decoded).await.expect("a whole body");
        decoded
    }
}

/// A response's body as it was before `Content-Encoding`, to be read while it comes.
pub fn decoding(response: http::Response<Incoming>) -> impl AsyncRead + Unpin {
    let encoding = response.headers().get("content-encoding");
    let encoding = encoding
        .map_or("", |encoding| encoding.to_str().expect("ASCII"))
        .to_owned();
    let (mut encoded, reader) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let mut body = response.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && encoded.write_all(&data).await.is_err()
            {
                break;
            }
        }
    });
    decoder(&encoding, BufReader::new(reader))
}

fn decoder<'r>(
    encoding: &str,
    reader: impl AsyncBufRead + Unpin + Send + 'r,
) -> Box<dyn AsyncRead + Unpin + Send + 'r> {
    match encoding {
        "" => Box::new(reader),
        "gzip" => Box::new(GzipDecoder::new(reader)),
        "br" => Box::new(BrotliDecoder::new(reader)),
        "zstd" => Box::new(ZstdDecoder::new(reader)),
        other => panic!("an unknown encoding: {other}"),
    }
}

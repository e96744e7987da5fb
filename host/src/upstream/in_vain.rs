//! Requests that were sent in vain: what an error says of the request that met it.

use std::error::Error;
use std::io::ErrorKind;

/// Whether the target says that it has not acted on the request, whatever the request was: it refused the stream, or was
/// leaving and names it among those that it will not look at (RFC 9113 sections 6.8 and 8.7).
pub(crate) fn was_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    // Only streams above the last one that a GOAWAY names end with it; the others go on.
    error.is_remote() && (error.is_go_away() || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Whether the peer had closed the connection, so that it never answered and, as far as can be told, never acted.
pub(crate) fn was_closed(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return true;
    }
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| {
        matches!(
            error.kind(),
            // The last one: TLS without its farewell.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
        )
    })
}

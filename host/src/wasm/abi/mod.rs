//! The versions of the filter interface that this gateway speaks, one module each. `wit/README.md` has the rules.

pub(crate) mod v0_1;

/// The package that plugins are written against.
pub(crate) const PACKAGE: &str = "portcullis:filter/";

/// The interface versions spoken, for messages.
pub(crate) const VERSIONS: &str = "0.1";

/// The interfaces through which a plugin reads the exchange at hand. They need no grant.
pub(crate) const EXCHANGE: [&str; 3] = ["http", "request", "response"];

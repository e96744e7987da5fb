//! Values written as a string with a meaning: durations, sizes, addresses.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::config::resolved::ListenAddress;
use crate::config::units::{self, Share};
use crate::config::wording::Fault;

/// How a `T` is written in the file.
pub(crate) trait FromText: Sized {
    /// What stands in messages after "expected".
    const EXPECTED: &'static str;

    /// From a string.
    fn from_text(text: &str) -> Result<Self, Fault>;

    /// From a whole number, where that is a way to write it.
    fn from_number(_number: i64) -> Option<Result<Self, Fault>> {
        None
    }

    /// For editors.
    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A `T` that is written as text.
#[derive(Debug, Clone)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T> Deref for Text<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<T: FromText> Visitor<'_> for Reader<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                T::from_text(text).map(Text).map_err(Fault::into_error)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Text<T>, E> {
                match T::from_number(number) {
                    Some(result) => result.map(Text).map_err(Fault::into_error),
                    None => Err(E::invalid_type(Unexpected::Signed(number), &self)),
                }
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<T: FromText> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::EXPECTED.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = T::schema();
        schema.insert("description".to_owned(), T::EXPECTED.into());
        schema
    }
}

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration such as `250ms`, `2s` or `5m`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        units::duration(text).map_err(|error| Fault::new(error.message, error.expected).help(error.help))
    }

    fn from_number(_: i64) -> Option<Result<Self, Fault>> {
        let help = "write it as a string with a unit: `\"250ms\"`, `\"2s\"` or `\"5m\"`";
        Some(Err(Fault::new(
            "a duration without a unit",
            "seconds, or milliseconds?",
        )
        .help(help)))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(us|ms|s|m|min|h|d)$" })
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) u64);

const SIZE_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB)?$";

impl FromText for Size {
    const EXPECTED: &'static str = "a size such as `64KiB` or `10MiB`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        units::size(text)
            .map(Size)
            .map_err(|error| Fault::new(error.message, error.expected).help(error.help))
    }

    fn from_number(number: i64) -> Option<Result<Self, Fault>> {
        Some(
            u64::try_from(number)
                .map(Size)
                .map_err(|_| Fault::new("a negative size", "at least 0")),
        )
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": SIZE_PATTERN, "minimum": 0 })
    }
}

/// A number of bytes, or `"off"` for no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeOrOff(pub(crate) Option<u64>);

impl FromText for SizeOrOff {
    const EXPECTED: &'static str = "a size such as `10MiB`, or `off` for no limit";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text == "off" {
            Ok(Self(None))
        } else {
            Size::from_text(text)
                .map(|size| Self(Some(size.0)))
                .map_err(|fault| fault.help("write a number and a unit (`10MiB`), or `off` for no limit"))
        }
    }

    fn from_number(number: i64) -> Option<Result<Self, Fault>> {
        Size::from_number(number).map(|size| size.map(|size| Self(Some(size.0))))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "const": "off" }, Size::schema()] })
    }
}

impl FromText for Share {
    const EXPECTED: &'static str = "a share such as `50%`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        units::share(text).map_err(|error| Fault::new(error.message, error.expected).help(error.help))
    }

    fn from_number(_: i64) -> Option<Result<Self, Fault>> {
        let fault = Fault::new("a share without `%`", "expected a number and `%`");
        Some(Err(fault.help("write it as a string: `\"50%\"`")))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$" })
    }
}

impl FromText for SocketAddr {
    const EXPECTED: &'static str = "an address such as `127.0.0.1:8080`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            let fault = Fault::new("not an address to listen on", "expected an IP address and a port");
            match text.rsplit_once(':') {
                Some(("localhost", _)) => fault.help("write `127.0.0.1` (or `[::1]`) for `localhost`"),
                Some(("" | "*", _)) => fault.help("write `0.0.0.0` (or `[::]`) for every address of this machine"),
                _ if text.parse::<u16>().is_ok() || text.parse::<IpAddr>().is_ok() => {
                    fault.help("write both: `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`")
                }
                _ => fault.help("write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`"),
            }
        })
    }

    fn from_number(_: i64) -> Option<Result<Self, Fault>> {
        let fault = Fault::new("not an address to listen on", "expected an IP address and a port");
        Some(Err(fault.help(
            "write both, as a string: `\"127.0.0.1:8080\"` or `\"0.0.0.0:8080\"`",
        )))
    }
}

impl FromText for ListenAddress {
    const EXPECTED: &'static str = "an address such as `0.0.0.0:443` or `unix:/run/portcullis.sock`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let Some(path) = text.strip_prefix("unix:") else {
            return SocketAddr::from_text(text).map(Self::Tcp);
        };
        // What the kernel takes, its closing zero included.
        const LONGEST: usize = 107;
        if !path.starts_with('/') || path.len() > LONGEST || path.contains('\0') {
            let fault = Fault::new(
                "not the path of a socket",
                "expected an absolute path of at most 107 bytes",
            );
            return Err(fault.help("write for example `unix:/run/portcullis.sock`"));
        }
        Ok(Self::Unix(path.into()))
    }

    fn from_number(number: i64) -> Option<Result<Self, Fault>> {
        SocketAddr::from_number(number).map(|address| address.map(Self::Tcp))
    }
}

impl FromText for IpNet {
    const EXPECTED: &'static str = "a network such as `10.0.0.0/8`";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let fault = || Fault::new("not a network", "expected a network or an address");
        network.ok_or_else(|| fault().help("write `10.0.0.0/8`, `fd00::/8` or one address: `192.0.2.7`"))
    }
}

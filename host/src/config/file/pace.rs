//! How fast a body has to move.

use schemars::{Schema, json_schema};

use super::text::FromText;
use crate::config::units;
use crate::config::wording::Fault;

/// So many bytes a second, or `"off"` for no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytesPerSecond(pub(crate) Option<u64>);

impl FromText for BytesPerSecond {
    const EXPECTED: &'static str = "a size a second such as `1KiB/s`, or `off` for no limit";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text == "off" {
            return Ok(Self(None));
        }
        let size = text
            .strip_suffix("/s")
            .and_then(|size| units::size(size.trim_end()).ok());
        match size {
            Some(size @ 1..) => Ok(Self(Some(size))),
            _ => {
                let fault = Fault::new("not a size a second", "expected a size and `/s`");
                Err(fault.help("write for example `240B/s` or `1KiB/s`, or `off` for no limit"))
            }
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(off|[0-9]+(\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB)? ?/s)$" })
    }
}

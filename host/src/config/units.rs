//! Durations, sizes and shares as people write them: `"250ms"`, `"1.5s"`, `"64KiB"`, `"10MB"`, `"50%"`.

use std::fmt;
use std::time::Duration;

/// Why a text is no duration, size or share, and what one looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitError {
    /// What is wrong: `a duration without a unit`.
    pub message: &'static str,
    /// What was expected there: `milliseconds, seconds, minutes?`
    pub expected: &'static str,
    /// What is right: ``write a number and a unit: `250ms`, `2s`, ..``.
    pub help: &'static str,
}

const DURATION_HELP: &str = "write a number and a unit: `250ms`, `2s`, `1.5s`, `5m` or `1h`";
const SHARE_HELP: &str = "write a number and `%`: `50%`, `0.5%`";
const SIZE_HELP: &str = "write a number and a unit: `64KiB`, `10MiB`, `1GB`, or a plain number of bytes";

/// The longest duration that is accepted: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads `"250ms"`, `"2s"`, `"5m"`, `"1h"`, `"1.5s"`; `us` and `d` are known too.
///
/// ```
/// # use portcullis::config::units::duration;
/// # use std::time::Duration;
/// assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
/// assert!(duration("5").is_err());
/// ```
///
/// # Errors
/// No number, no unit or an unknown one, or more than a year.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let fail = |message, expected| UnitError {
        message,
        expected,
        help: DURATION_HELP,
    };
    let (number, unit) = split(text).ok_or(fail("not a duration", "expected a number and a unit"))?;
    let nanoseconds = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "" => return Err(fail("a duration without a unit", "seconds, or milliseconds?")),
        _ => return Err(fail("an unknown unit of time", "expected `ms`, `s`, `m` or `h`")),
    };
    let total = number
        .times(nanoseconds)
        .ok_or(fail("a duration of over a year", "expected a year at most"))?;
    let total = Duration::from_nanos(
        u64::try_from(total).map_err(|_| fail("a duration of over a year", "expected a year at most"))?,
    );
    if total > LONGEST {
        Err(fail("a duration of over a year", "expected a year at most"))
    } else {
        Ok(total)
    }
}

/// Reads `"64KiB"`, `"10MiB"`, `"1GB"`, `"512B"`, `"512"`: `KiB` is 1,024 bytes, `KB` (or `kB`) 1,000.
///
/// ```
/// # use portcullis::config::units::size;
/// assert_eq!(size("64KiB"), Ok(65_536));
/// assert_eq!(size("10MB"), Ok(10_000_000));
/// ```
///
/// # Errors
/// No number, an unknown unit, or more bytes than 64 bits count.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let fail = |message, expected| UnitError {
        message,
        expected,
        help: SIZE_HELP,
    };
    let (number, unit) = split(text).ok_or(fail("not a size", "expected a number and a unit"))?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => {
            return Err(fail(
                "an unknown unit of size",
                "expected `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`",
            ));
        }
    };
    let total = number
        .times(bytes)
        .ok_or(fail("too large a size", "expected fewer bytes"))?;
    u64::try_from(total).map_err(|_| fail("too large a size", "expected fewer bytes"))
}

/// A part of a whole, in millionths: exact, so that settings can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share(1_000_000);

    /// So many hundredths of the whole; 100 at most.
    pub const fn percent(percent: u32) -> Share {
        Share(if percent < 100 { percent * 10_000 } else { 1_000_000 })
    }

    /// 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Share::WHOLE.0)
    }

    /// 0 to 1,000,000.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// True for this share of all calls, at random.
    pub fn draw(self) -> bool {
        self >= Share::WHOLE || (self.0 > 0 && fastrand::u32(0..Share::WHOLE.0) < self.0)
    }
}

/// As it is written: `20%`, `0.5%`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

/// Reads `"50%"`, `"0.5%"`.
///
/// ```
/// # use portcullis::config::units::{Share, share};
/// assert_eq!(share("50%"), Ok(Share::percent(50)));
/// assert!(share("0.5").is_err());
/// ```
///
/// # Errors
/// No number, no `%`, or more than all of it.
pub fn share(text: &str) -> Result<Share, UnitError> {
    let fail = |message, expected| UnitError {
        message,
        expected,
        help: SHARE_HELP,
    };
    let (number, unit) = split(text).ok_or(fail("not a share", "expected a number and `%`"))?;
    if unit != "%" {
        return Err(fail("a share without `%`", "expected a number and `%`"));
    }
    let millionths = number.times(10_000).and_then(|share| u32::try_from(share).ok());
    millionths
        .map(Share)
        .filter(|share| *share <= Share::WHOLE)
        .ok_or(fail("more than all of it", "expected 100% at most"))
}

/// A decimal number, exactly: `1.5` is 15 and one digit after the point.
struct Decimal {
    digits: u128,
    decimals: u32,
}

impl Decimal {
    /// Whole units, rounded down.
    fn times(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / 10_u128.checked_pow(self.decimals)?)
    }
}

/// The number that a text begins with, and the unit after it (one space between them is allowed).
fn split(text: &str) -> Option<(Decimal, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let (whole, decimals) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, decimals)) => (whole, decimals),
        None => (number, ""),
    };
    if whole.is_empty() || decimals.len() > 9 {
        return None;
    }
    let digits = format!("{whole}{decimals}").parse().ok()?;
    Some((
        Decimal {
            digits,
            decimals: u32::try_from(decimals.len()).ok()?,
        },
        unit.strip_prefix(' ').unwrap_or(unit),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0.5s", 500),
            ("0s", 0),
            ("3 s", 3_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1,5s",
            "1.s",
            ".5s",
            "1..5s",
            "5 minutes",
            "1e3s",
            "400d",
            "99999999999999999999999999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_read_exactly() {
        for (text, millionths) in [("50%", 500_000), ("0.5%", 5_000), ("0%", 0), ("100 %", 1_000_000)] {
            assert_eq!(share(text), Ok(Share(millionths)), "{text}");
        }
        for text in [
            "",
            "50",
            "0.5",
            "%",
            "-1%",
            "100.1%",
            "101%",
            "99999999999999999999999999999999999999%",
        ] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_drawn_as_often_as_it_says() {
        let drawn = |share: Share| (0..10_000).filter(|_| share.draw()).count();
        assert_eq!((drawn(Share::default()), drawn(Share::WHOLE)), (0, 10_000));
        assert!((2_600..3_400).contains(&drawn(Share::percent(30))));
    }

    #[test]
    fn a_share_is_shown_as_it_is_written() {
        assert_eq!(Share::percent(20).to_string(), "20%");
        assert_eq!(share("0.5%").map(|share| share.to_string()), Ok("0.5%".to_owned()));
    }

    #[test]
    fn sizes_are_read_exactly() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("10MiB", 10_485_760),
            ("1GB", 1_000_000_000),
            ("512", 512),
            ("1.5KiB", 1_536),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "10 megabytes", "-1", "10mib", "999999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}

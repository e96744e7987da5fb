//! A rate as an operator writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::SettingsError;
use crate::settings::text::{shown_as_text, text_setting};

/// So many per unit of time, for settings: `"5/min"`.
///
/// The units are `s`, `min`, `hour` and `day`; `sec`, `second`, `minute`, `h` and `d` are read too.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_sdk::rate_limit::Rate;
///
/// let rate: Rate = "100/hour".parse()?;
/// assert_eq!((rate.count(), rate.period()), (100, Duration::from_secs(3600)));
/// assert_eq!(rate.to_string(), "100/hour");
/// # Ok::<(), portcullis_sdk::SettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Rate {
    /// How many: 1 to 999,999,999.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// In how long.
    pub fn period(&self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 86_400,
        })
    }
}

impl FromStr for Rate {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        parsed(text).ok_or_else(|| SettingsError::new("write `5/min`, per s, min, hour or day"))
    }
}

fn parsed(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let unit = match unit {
        "s" | "sec" | "second" => Unit::Second,
        "min" | "minute" => Unit::Minute,
        "h" | "hour" => Unit::Hour,
        "d" | "day" => Unit::Day,
        _ => return None,
    };
    // As the schema's pattern has it: `parse` alone would take `+5` and `05`.
    let plain = count.len() <= 9 && !count.starts_with('0') && count.bytes().all(|byte| byte.is_ascii_digit());
    Some(Rate {
        count: count.parse().ok().filter(|_| plain)?,
        unit,
    })
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "s",
            Unit::Minute => "min",
            Unit::Hour => "hour",
            Unit::Day => "day",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

text_setting!(Rate, "rate", { "type": "string", "pattern": "^[1-9][0-9]{0,8}/(s|sec|second|min|minute|h|hour|d|day)$", "examples": ["5/min"] });
shown_as_text!(Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_unit() {
        for (text, count, seconds) in [
            ("5/min", 5, 60),
            ("10/s", 10, 1),
            ("100/hour", 100, 3600),
            ("1000/day", 1000, 86_400),
            ("1/h", 1, 3600),
        ] {
            let rate: Rate = serde_json::from_value(text.into()).unwrap();
            assert_eq!((rate.count(), rate.period().as_secs()), (count, seconds), "{text}");
        }
        assert_eq!("7/minute".parse::<Rate>().unwrap().to_string(), "7/min");
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for wrong in [
            "",
            "5",
            "5/",
            "/min",
            "0/s",
            "+5/s",
            "05/s",
            "5/fortnight",
            "5 /min",
            "-1/s",
            "9999999999/s",
        ] {
            let error = serde_json::from_value::<Rate>(wrong.into()).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("`{wrong}` is no rate: write `5/min`, per s, min, hour or day")
            );
        }
    }
}
